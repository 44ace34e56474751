"""What a client lives through: outages, restarts, lost leases, blocked loops and cancellation."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

import discovery
from discovery import (
    Added,
    ConnectionState,
    EndpointQuery,
    ModelConflictError,
    ModelQuery,
    PermissionDeniedError,
    UnavailableError,
)
from discovery.sessions import Caller
from discovery.view import Shown
from tests.support.places import EmbeddedPlace, daemon_place, until
from tests.support.specs import endpoint, model

PROD = EndpointQuery(namespace="prod")


@pytest_asyncio.fixture(params=["memory", "zmq"])
async def place(request):
    if request.param == "memory":
        yield EmbeddedPlace()
        return
    async with daemon_place() as daemon:
        yield daemon


@pytest_asyncio.fixture
async def daemon():
    async with daemon_place() as place:
        yield place


@asynccontextmanager
async def recorded(stream):
    """Record the events of a stream."""
    events: list = []

    async def record() -> None:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - seen while it grows

    task = asyncio.get_running_loop().create_task(record())
    try:
        yield events
    finally:
        task.cancel()
        await asyncio.wait([task])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- nobody there


async def test_nobody_listening_is_unavailable_in_time():
    port = free_port()
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=f"cannot connect to zmq://127.0.0.1:{port}"):
        async with discovery.connect(f"zmq://127.0.0.1:{port}", connect_timeout_s=0.3):
            pass
    assert 0.25 < time.monotonic() - start < 1.0


async def test_a_port_that_does_not_speak_our_language_is_unavailable_in_time():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(UnavailableError, match="is discoveryd running there"):
            async with discovery.connect(f"zmq://127.0.0.1:{port}", connect_timeout_s=0.3):
                pass


async def test_a_failed_connect_can_be_tried_again(daemon):
    d = daemon.connect(connect_timeout_s=0.2)
    await daemon.stop()
    with pytest.raises(UnavailableError):
        await d.__aenter__()
    await daemon.start()
    async with daemon.connect() as d:
        await d.register(endpoint())


async def test_the_second_of_two_addresses_is_connected_to(daemon):
    dead = free_port()
    live = daemon.url.removeprefix("zmq://")
    url = f"zmq://127.0.0.1:{dead},{live}"
    async with discovery.connect(url, connect_timeout_s=2.0) as d:
        await d.register(endpoint())
        assert len(await d.list(PROD)) == 1


async def test_when_the_daemon_goes_the_next_one_serves():
    async with daemon_place() as first, daemon_place() as second:
        url = f"{first.url},{second.url.removeprefix('zmq://')}"
        async with discovery.connect(url) as d, d.watch(PROD) as stream:
            made = await d.register(endpoint())
            await stream.reached(made.revision)
            await first.stop()
            await until(lambda: registered_at(second))
            await until(lambda: stream.epoch == second.core.store.epoch)
            assert made.id in stream.instances


def registered_at(place) -> int:
    return sum(dict(place.core.replica.mirror.counts()).values())


# ---- the lease is lost


async def test_a_lost_lease_is_taken_again_under_the_same_id(place):
    async with place.connect() as d, place.connect() as r, r.watch(PROD) as stream:
        first, other = await d.register(endpoint("a")), await d.register(endpoint("b"))
        await stream.reached(other.revision)
        await place.end_lease(d.instance_id)
        d._background.call(d._here.keeper.hurry)  # instead of waiting for the next renewal
        await until(lambda: d._here.session.losses == 1 and len(stream.instances) == 2)
        assert set(stream.instances) == {first.id, other.id}
        assert d.failures == ()
        made = await d.register(endpoint("c"))
        assert made.instance_id == d.instance_id


async def test_an_incumbent_refused_on_its_return_is_a_failure_and_stops_trying(place, caplog):
    async with place.connect() as d, place.connect() as other:
        await d.register_all([endpoint(), model("llama")])
        kept = await d.register(endpoint("kept"))
        d._background.call(_stop_renewing, d)
        await place.end_lease(d.instance_id)
        await other.register(model("qwen"))
        d._background.call(d._here.keeper.hurry)
        await until(lambda: d.failures)
        (failure,) = d.failures
        assert isinstance(failure.error, ModelConflictError)
        assert [spec.kind.value for spec in failure.specs] == ["endpoints", "models"]
        await until(lambda: "not registered any more" in caplog.text)
        listed = await d.list(PROD)
        assert [instance.id for instance in listed] == [kept.id]
        await other.unregister(model("qwen").id(other.instance_id))
        await d.register_all([endpoint(), model("llama")])
        assert d.failures == ()


def _stop_renewing(d) -> None:
    d._here.session._lease.renew_at = float("inf")


async def test_a_registration_during_an_outage_is_done_after_it(daemon):
    async with daemon.connect() as d:
        await d.register(endpoint("a"))
        await daemon.stop()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(d.register(endpoint("b")))
            await until(lambda: d.state is ConnectionState.DISCONNECTED)
            await daemon.start()
        assert waiting.result().revision
        assert {i.endpoint for i in await d.list(PROD)} == {"a", "b"}


async def test_what_is_not_registered_in_time_never_is(daemon):
    async with daemon.connect(request_timeout_s=0.3) as d:
        await d.register(endpoint("a"))
        await daemon.stop()
        with pytest.raises(discovery.DeadlineExceededError, match="registration: not done within"):
            await d.register(endpoint("b"))
        await daemon.start()
        await until(lambda: d.state is ConnectionState.CONNECTED)
        await until(lambda: registered_at(daemon))
        await settled(d)
        assert [i.endpoint for i in await d.list(PROD)] == ["a"]


async def test_leaving_during_an_outage_is_bounded(daemon):
    async with daemon.connect() as d:
        await d.register(endpoint())
        await daemon.stop()
        start = time.monotonic()
    assert time.monotonic() - start < 2.0


# ---- the daemon is restarted


async def test_a_restart_shows_only_real_differences_and_never_an_empty_view(daemon):
    async with (
        daemon.connect() as worker,
        daemon.connect() as leaver,
        daemon.connect() as router,
        router.watch(PROD) as stream,
        router.watch(ModelQuery()) as models,
        recorded(stream) as events,
    ):
        made, _ = await worker.register_all([endpoint("a"), model(name="a")])
        gone = await leaver.register(endpoint("b"))
        await stream.reached(gone.revision)
        await models.synced()
        await until(lambda: len(events) == 2)
        epoch = stream.epoch
        views = []
        leaver._background.call(leaver._here.session._registrations._owned.clear)
        await daemon.stop()
        await daemon.start()
        async with asyncio.timeout(15):
            while stream.epoch == epoch or gone.id in stream.instances:
                views.append(set(stream.instances))
                assert made.id in stream.instances
                assert len(models.instances) == 1
                await asyncio.sleep(0.005)
        await until(lambda: not stream.is_recovering and models.epoch != epoch)
        assert all(made.id in view for view in views)
        assert [(type(e).__name__, getattr(e, "id", None)) for e in events[2:]] == [
            ("Removed", gone.id)
        ]
        after = await worker.register(endpoint("c"))
        await stream.reached(after.revision)
        assert set(stream.instances) == {made.id, after.id}


async def test_an_outage_leaves_the_view_and_says_that_it_is_stale(daemon):
    async with daemon.connect() as d, d.watch(PROD) as stream:
        made = await d.register(endpoint())
        await stream.reached(made.revision)
        await daemon.stop()
        await until(lambda: stream.state == "stale")
        assert set(stream.instances) == {made.id}
        assert stream.staleness_s > 0.2
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
            before = stream.staleness_s
            await until(lambda: stream.staleness_s > before)
            await daemon.start()
            await until(lambda: stream.state != "stale")
            await until(lambda: stream.state == "live")
        assert set(stream.instances) == {made.id}


async def test_a_stream_opened_during_an_outage_syncs_after_it(daemon):
    async with daemon.connect() as d:
        await d.register(endpoint())
        await daemon.stop()
        async with d.watch(PROD) as stream:
            await daemon.start()
            async with asyncio.timeout(15):
                await stream.synced()
                await until(lambda: len(stream.instances) == 1)


# ---- refusals and faults


async def test_a_refused_query_ends_its_stream_and_no_other(place):
    async with place.connect() as d, d.watch(ModelQuery()) as other:
        await other.synced()
        call = d._here.connection.call

        async def refuse(op, fields, within_s, **how):
            if fields.get("scope") == ["endpoints", "prod"]:
                raise PermissionDeniedError("not yours to see")
            return await call(op, fields, within_s, **how)

        d._here.connection.call = refuse
        async with d.watch(PROD) as stream, d.watch(PROD) as second:
            for wait in (stream.synced, second.changed, stream.__anext__):
                with pytest.raises(PermissionDeniedError, match="not yours to see"):
                    await wait()
            async with d.watch(PROD) as late:
                with pytest.raises(PermissionDeniedError):
                    await late.synced()
        made = await d.register(model())
        await other.reached(made.revision)


@pytest.mark.parametrize("fault", [ZeroDivisionError, discovery.InternalError])
async def test_a_fault_in_one_request_ends_nothing(place, fault):
    async with place.connect() as d, d.watch(PROD) as stream:
        await stream.synced()
        call, faults = d._here.connection.call, []

        async def fail_once(op, fields, within_s, **how):
            if op not in faults:
                faults.append(op)
                raise fault("oops")
            return await call(op, fields, within_s, **how)

        d._here.connection.call = fail_once
        for _ in ("grant", "register"):
            with pytest.raises(discovery.InternalError, match="oops"):
                await d.register(endpoint())
        made = await d.register(endpoint("c"))
        async with d.watch(ModelQuery()) as models:
            await models.synced()
        await stream.reached(made.revision)
        await until(lambda: stream.staleness_s < 2.0)
        assert made.id in stream.instances


async def test_a_connection_that_ends_by_a_fault_of_ours_tells_its_streams(place, caplog):
    async with place.connect() as d, d.watch(PROD) as stream:
        await stream.synced()
        d._here.upstreams.tick = lambda: 1 / 0
        async with asyncio.timeout(10):
            with pytest.raises(UnavailableError, match="has ended"):
                await forever(stream.changed)
        async with d.watch(ModelQuery()) as late:
            with pytest.raises(UnavailableError, match="has ended"):
                await late.synced()
        with pytest.raises(UnavailableError):
            await d.register(endpoint())
    assert "an error of ours" in caplog.text


async def forever(wait) -> None:
    while True:
        await wait()


async def test_unreadable_messages_are_counted_and_hurt_nobody(place):
    async with place.connect() as d, d.watch(PROD) as stream:
        await stream.synced()
        upstreams = d._here.upstreams
        for payload in (b"", b"\x01j\x00{}", b"\x01j\x00[]", b"x" * 100):
            for topic in ("b/msgpack/", "e/msgpack/endpoints/"):
                d._background.call(upstreams.on_message, topic, payload)
        made = await d.register(endpoint())
        await stream.reached(made.revision)
        assert upstreams.rejected == 8


async def test_events_that_never_come_make_it_try_elsewhere(daemon):
    """The requests are served, but nothing is heard of what is published."""
    async with daemon.connect() as d:
        d._here.upstreams._sync_timeout_s = 0.2
        links = set()
        deaf = free_port()

        def deafen() -> None:
            link = d._here.connection._link
            if link is not None:
                links.add(id(link))
                link._events = link.address.with_port(deaf)

        d._background.call(deafen)
        async with d.watch(PROD) as stream:
            reconnects = d._here.connection.reconnects
            await until(lambda: d._here.connection.reconnects > reconnects)
            await stream.synced()


# ---- slow readers


async def churn(place, count: int) -> None:
    """Change 100 instances, 50 at a time, `count` times in all, on the registry's own thread."""

    async def work(core) -> None:
        await core.registry.grant(0xC0, 60.0, "t" * 32)
        for number in range(1, count // 50 + 1):
            caller = Caller(0xC0, "t" * 32, number)
            names = [f"e{n}" for n in range(number % 2, 100, 2)]
            if number % 7 == 0:
                await core.registry.unregister(caller, [endpoint(n).id(0xC0) for n in names])
            else:
                specs = [endpoint(n, f"10.0.0.1:{number}/x") for n in names]
                await core.registry.register(caller, specs)
            await asyncio.sleep(0)

    await place.run(work)


def objects_of(*types) -> int:
    gc.collect()
    return sum(1 for thing in gc.get_objects() if isinstance(thing, types))


async def test_readers_that_do_not_keep_up_end_with_the_right_view_and_bounded_memory(place):
    async with (
        place.connect() as r,
        r.watch(PROD) as idle,
        r.watch(PROD) as iterated,
        r.watch(PROD) as broken_off,
    ):
        await iterated.synced()
        events = aiter(iterated)
        await iterate_once(broken_off, place)
        before = objects_of(Shown, Added, discovery.EndpointInstance)
        loop = asyncio.get_running_loop()
        work = loop.create_task(
            churn(place, 20_000 if isinstance(place, EmbeddedPlace) else 10_000)
        )
        for _ in range(5):
            await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - the application blocks its loop
        await work
        listed = await r.list(PROD)
        for stream in (idle, broken_off):
            await stream.reached(listed.revision)
            await until(lambda s=stream: s._status.revision >= listed.revision)
        await until(lambda: iterated._status.revision >= listed.revision)
        after = objects_of(Shown, Added, discovery.EndpointInstance)
        assert after - before < 5_000
        right = {instance.id: instance for instance in listed}
        assert dict(idle.instances) == right
        view: dict = {}
        async with asyncio.timeout(10):
            while view != right:
                event = await anext(events)
                if isinstance(event, Added):
                    view[event.instance.id] = event.instance
                else:
                    del view[event.id]
        assert dict(iterated.instances) == right


async def iterate_once(stream, place) -> None:
    async with place.connect() as d:
        made = await d.register(endpoint("first"))
        await stream.reached(made.revision)
        async for event in stream:
            assert event.instance == made
            break


async def test_instances_that_come_and_go_leave_nothing_behind_with_who_never_iterates(place):
    async with place.connect() as r, r.watch(PROD) as stream:
        await stream.synced()

        async def work(core) -> None:
            await core.registry.grant(0xC0, 60.0, "t" * 32)
            for number in range(1, 4001, 2):
                spec = endpoint(f"e{number}")
                await core.registry.register(Caller(0xC0, "t" * 32, number), [spec])
                caller = Caller(0xC0, "t" * 32, number + 1)
                await core.registry.unregister(caller, [spec.id(0xC0)])
                if number % 50 == 1:
                    await asyncio.sleep(0.001)

        await place.run(work)
        await stream.reached((await r.list(PROD)).revision)
        assert not stream.instances
        assert objects_of(Shown) < 500


# ---- cancellation


async def cancel_at_each_step(make) -> int:
    """Run `make()` again and again, cancelled one step later each time, until it ends first."""
    step = 0
    while True:
        task = asyncio.get_running_loop().create_task(make())
        for _ in range(step):
            await asyncio.sleep(0)
        if task.done():
            await task
            return step
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        step = step + 1 if step < 40 else int(step * 1.5)


async def settled(d) -> None:
    """Wait until nothing is under way for `d` on the I/O thread."""

    async def pass_by() -> None:
        """Come after everything that has been sent to the thread."""

    await d._background.run(pass_by())
    await until(lambda: not d._here.keeper._futures and not d._here.session._registrations.jobs)


async def test_connecting_may_be_cancelled_at_every_step(place):
    async def use() -> None:
        async with place.connect() as d:
            await d.list(PROD)

    assert await cancel_at_each_step(use) > 3
    async with place.connect() as d:
        assert await d.leases() == []


async def test_connecting_to_nobody_may_be_cancelled_at_every_step_and_ends_at_once():
    d = discovery.connect(f"zmq://127.0.0.1:{free_port()}", connect_timeout_s=30.0)
    for step in (0, 1, 2, 5, 50):
        task = asyncio.get_running_loop().create_task(d.__aenter__())
        for _ in range(step):
            await asyncio.sleep(0.001)
        start = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert time.monotonic() - start < 1.0
        d = discovery.connect(f"zmq://127.0.0.1:{free_port()}", connect_timeout_s=30.0)


async def test_leaving_may_be_cancelled_at_every_step(place):
    async with place.connect() as r:
        for step in range(1, 12, 2):
            d = place.connect()
            await d.__aenter__()
            await d.register(endpoint())
            task = asyncio.get_running_loop().create_task(d.__aexit__(None, None, None))
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await until(lambda: not any(place.core.replica.mirror.sessions()))
        assert await r.leases() == []


@pytest.mark.parametrize("what", ["register", "unregister", "list", "status", "leases"])
async def test_requests_may_be_cancelled_at_every_step(place, what):
    async with place.connect() as d:
        kept = await d.register(endpoint("kept"))
        made = endpoint("cancelled")
        calls = {
            "register": lambda: d.register(made),
            "unregister": lambda: d.unregister(kept),
            "list": lambda: d.list(PROD),
            "status": d.status,
            "leases": d.leases,
        }
        steps = 0
        while True:
            task = asyncio.get_running_loop().create_task(calls[what]())
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                await task
                break
            task.cancel()
            await asyncio.wait([task])
            await settled(d)
            names = {instance.endpoint for instance in await d.list(PROD)}
            assert "cancelled" not in names, f"step {steps}: a ghost"
            assert what == "unregister" or "kept" in names
            steps = steps + 1 if steps < 20 else steps * 2


@pytest.mark.parametrize("what", ["synced", "changed", "reached", "anext", "enter"])
async def test_streams_may_be_cancelled_at_every_step(place, what):
    async with place.connect() as d:
        made = await d.register(endpoint())

        async def use() -> None:
            async with d.watch(PROD) as stream:
                if what == "synced":
                    await stream.synced()
                elif what == "changed":
                    await stream.changed()
                elif what == "reached":
                    await stream.reached(made.revision)
                elif what == "anext":
                    await anext(aiter(stream))

        await cancel_at_each_step(use)
        await until(lambda: not d._here.upstreams._by_scope)
        assert not d._streams
        async with d.watch(PROD) as stream:
            await stream.synced()
            assert set(stream.instances) == {made.id}


async def test_a_cancelled_wait_leaves_its_stream_at_its_place(place):
    async with place.connect() as d, d.watch(PROD) as stream:
        await stream.synced()
        for _ in range(3):
            task = asyncio.get_running_loop().create_task(anext(aiter(stream)))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert not stream._waiters
        made = await d.register(endpoint())
        async with asyncio.timeout(10):
            event = await anext(aiter(stream))
        assert event.instance == made


# ---- the thread


async def test_the_thread_lives_as_long_as_somebody_needs_it():
    place = EmbeddedPlace()
    assert discovery.background._shared._background is None
    async with place.connect() as a:
        async with place.connect() as b:
            assert a._background is b._background
        await a.register(endpoint())
    assert discovery.background._shared._background is None


async def test_leaving_and_connecting_at_the_same_time():
    place = EmbeddedPlace()

    async def use() -> None:
        async with place.connect() as d:
            await d.register(endpoint())
            assert await d.list(PROD)

    for _ in range(10):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(use())
                await asyncio.sleep(0.002)


def test_an_application_may_run_one_loop_after_the_other():
    place = EmbeddedPlace()

    async def use() -> None:
        async with place.connect() as d:
            await d.register(endpoint())

    for _ in range(3):
        asyncio.run(use())


async def test_a_fault_while_taking_in_a_batch_costs_that_batch_only(place, caplog):
    async with place.connect() as d, d.watch(PROD) as stream:
        await stream.synced()
        outbox, faults = stream._outbox, []

        class Broken:
            def __bool__(self) -> bool:
                return False

            def push(self, shown) -> None:
                faults.append(shown)
                stream._outbox = outbox
                raise ZeroDivisionError

        stream._outbox = Broken()
        await until(lambda: faults)
        made = await d.register(endpoint())
        await stream.reached(made.revision)
        assert "ZeroDivisionError" in caplog.text
