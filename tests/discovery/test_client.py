from __future__ import annotations

import asyncio
import math
import time

import pytest
import pytest_asyncio

import discovery
from discovery import (
    Added,
    AlreadyExistsError,
    Cause,
    ConnectionState,
    EndpointQuery,
    EventChannelQuery,
    EventChannelSpec,
    FailedPreconditionError,
    InvalidArgumentError,
    ModelConflictError,
    ModelQuery,
    NatsTransport,
    NotFoundError,
    PermissionDeniedError,
    Removed,
    UnavailableError,
    ZmqBrokerTransport,
    ZmqTransport,
)
from discovery.spec import EndpointSpec
from tests.support.places import EmbeddedPlace, daemon_place, until
from tests.support.specs import endpoint, model

PROD = EndpointQuery(namespace="prod")


@pytest_asyncio.fixture(params=["memory", "zmq", "zmq-json"])
async def place(request):
    if request.param == "memory":
        yield EmbeddedPlace()
        return
    async with daemon_place() as daemon:
        if request.param == "zmq-json":
            connect = daemon.connect
            daemon.connect = lambda **options: connect(codec="json", **options)
        yield daemon


async def take(stream, count: int) -> list:
    events = []
    async with asyncio.timeout(10):
        async for event in stream:
            events.append(event)
            if len(events) == count:
                break
    return events


# ---- registering and listing


async def test_an_endpoint_and_its_model_are_registered_as_one_unit(place):
    async with place.connect() as d:
        made, served = await d.register_all([endpoint(), model()])
        assert made.revision == served.revision
        assert made.instance_id == served.instance_id == d.instance_id
        assert d.lease_ttl_s == 10.0
        assert list(await d.list(PROD)) == [made]
        models = await d.list(ModelQuery(), min_revision=served.revision)
        assert list(models) == [served]
        assert models[0].card_as(dict)["display_name"] == "llama"
        assert models.revision >= served.revision
        assert models.epoch
        assert models[0].revision == served.revision
        assert "Listing([ModelInstance" in repr(models)
        assert models[:1] == (served,)


async def test_registering_again_replaces_the_value(place):
    async with place.connect() as d:
        first = await d.register(endpoint())
        second = await d.register(endpoint(address="10.0.0.8:1/x"))
        assert second.revision > first.revision
        assert list(await d.list(PROD)) == [second]
        assert (await d.register(endpoint(address="10.0.0.8:1/x"))).revision == second.revision


async def test_what_is_unregistered_is_gone_and_twice_is_no_error(place):
    async with place.connect() as d:
        made = await d.register(endpoint())
        await d.unregister(made)
        assert list(await d.list(PROD)) == []
        await d.unregister(made.id)


async def test_a_conflict_carries_its_attributes(place):
    async with place.connect() as d, place.connect() as other:
        await d.register(model("llama"))
        with pytest.raises(ModelConflictError) as caught:
            await other.register(model("qwen"))
        error = caught.value
        assert (error.requested, error.endpoint) == ("qwen", "prod/vllm/generate")
        assert (error.incumbent, error.incumbent_count) == ("llama", 1)
        assert error.since_ms is not None
        assert error.code == "failed_precondition"
        assert not error.retryable
        assert str(error).startswith("Cannot register model 'qwen' on endpoint")


async def test_an_instance_id_that_is_held_is_refused(place):
    async with place.connect(instance_id=0xABC) as d, place.connect(instance_id=0xABC) as other:
        await d.register(endpoint())
        with pytest.raises(AlreadyExistsError):
            await other.register(endpoint())


async def test_only_ones_own_are_unregistered(place):
    async with place.connect() as d, place.connect() as other:
        made = await d.register(endpoint())
        with pytest.raises(PermissionDeniedError, match="registered by another process"):
            await other.unregister(made)
        channel = await d.register(channel_spec())
        await other.register(endpoint())
        with pytest.raises(PermissionDeniedError, match="registered by another process"):
            await other.unregister(channel)


async def test_a_router_holds_no_lease(place):
    async with place.connect() as d, place.connect() as worker, d.watch(PROD) as stream:
        await stream.synced()
        await d.unregister(endpoint().id(d.instance_id))  # nothing of ours: nothing to do
        assert await d.leases() == []
        made = await worker.register(endpoint())
        (lease,) = await d.leases()
        assert lease == {
            "id": f"{made.instance_id:x}",
            "records": 1,
            "ttl_s": 10.0,
            "draining": False,
        }


async def test_the_daemon_tells_of_itself_and_of_its_watchers(place):
    async with place.connect() as d:
        assert (await d.status())["records"] == {}
        async with d.watch(PROD) as stream:
            await stream.synced()
            (watcher,) = await d.watchers()
            assert watcher["scope"] == ["endpoints", "prod"]


async def test_lists_need_a_revision_that_exists(place):
    async with place.connect(request_timeout_s=0.3) as d:
        start = time.monotonic()
        with pytest.raises(discovery.DiscoveryError) as caught:
            await d.list(PROD, min_revision=10**9)
        assert caught.value.retryable
        assert time.monotonic() - start < 1.0


async def test_two_names_are_two_registries():
    a, b = EmbeddedPlace(), EmbeddedPlace()
    async with a.connect() as first, b.connect() as second:
        await first.register(endpoint())
        assert len(await first.list(PROD)) == 1
        assert len(await second.list(PROD)) == 0


async def test_an_embedded_registry_ends_with_its_last_user():
    place = EmbeddedPlace()
    async with place.connect() as first:
        await first.register(endpoint())
        async with place.connect() as second:
            assert len(await second.list(PROD)) == 1
        assert len(await first.list(PROD)) == 1
    async with place.connect() as third:
        assert len(await third.list(PROD)) == 0


# ---- event channels


def channel_spec(**levels) -> EventChannelSpec:
    levels = {"component": "vllm"} | levels
    return EventChannelSpec(
        namespace="prod", topic="kv", transport=NatsTransport(subject_prefix="p"), **levels
    )


@pytest.mark.parametrize("generation", ["a", "b"])
async def test_event_channels_of_both_generations(place, generation):
    async with place.connect() as d:
        place.core.registry._generation = generation
        broker = ZmqBrokerTransport(xsub_endpoints=("tcp://h:1",), xpub_endpoints=("tcp://h:2",))
        specs = [
            channel_spec(),
            EventChannelSpec(namespace="prod", component="vllm", topic="load", transport=broker),
            EventChannelSpec(
                namespace="prod",
                component="vllm",
                topic="kv",
                transport=ZmqTransport(endpoint="tcp://h:1"),
                instance_id=77,
            ),
        ]
        if generation == "b":
            specs += [channel_spec(endpoint="generate"), channel_spec(component=None)]
        made = await d.register_all(specs)
        ids = {channel.instance_id for channel in made}
        assert len(ids) == len(specs)  # each without an id got its own
        assert 77 in ids
        assert d.instance_id not in ids
        assert set(await d.list(EventChannelQuery())) == set(made)
        topics = await d.list(EventChannelQuery(namespace="prod", component="vllm", topic="kv"))
        assert len(topics) == (3 if generation == "b" else 2)
        for channel in made:
            await d.unregister(channel)
        assert list(await d.list(EventChannelQuery())) == []


async def test_generation_a_writes_no_channel_without_component(place):
    async with place.connect() as d:
        with pytest.raises(InvalidArgumentError, match="generation a"):
            await d.register(channel_spec(component=None))


async def test_a_channel_stream_filters_by_topic(place):
    async with place.connect() as d:
        query = EventChannelQuery(namespace="prod", component="vllm", topic="kv")
        async with d.watch(query) as stream:
            load = EventChannelSpec(
                namespace="prod",
                component="vllm",
                topic="load",
                transport=NatsTransport(subject_prefix="p"),
            )
            _, wanted = await d.register_all([load, channel_spec()])
            await stream.reached(wanted.revision)
            assert dict(stream.instances) == {wanted.id: wanted}


# ---- streams


async def test_a_stream_has_the_view_without_anyone_iterating(place):
    async with place.connect() as d, place.connect() as r:
        made = await d.register(endpoint())
        async with r.list_and_watch(PROD) as stream:
            assert stream.state == "syncing"
            assert (stream.revision, stream.epoch) == (-1, None)
            assert stream.staleness_s == math.inf
            await stream.synced()
            assert dict(stream.instances) == {made.id: made}
            assert stream.state == "live"
            assert stream.epoch
            assert 0 <= stream.staleness_s < 5
            assert not stream.is_recovering
            second = await d.register(endpoint("other"))
            await stream.reached(second.revision)
            assert set(stream.instances) == {made.id, second.id}
            assert stream.revision >= second.revision


async def test_another_kinds_stream_reaches_a_revision_that_concerns_it_not(place):
    async with place.connect() as d, d.watch(ModelQuery()) as models:
        made = await d.register(endpoint())
        async with asyncio.timeout(5):
            await models.reached(made.revision)
        assert models.revision >= made.revision


async def test_iterating_starts_with_the_snapshot_and_goes_on(place):
    async with place.connect() as d, place.connect() as r:
        first = await d.register(endpoint())
        async with r.watch(PROD) as stream:
            (event,) = await take(stream, 1)
            assert event == Added(instance=first, revision=first.revision, is_update=False)
            second = await d.register(endpoint(address="10.0.0.8:1/x"))
            (event,) = await take(stream, 1)
            assert event == Added(instance=second, revision=second.revision, is_update=True)
            await d.unregister(second)
            (event,) = await take(stream, 1)
            assert isinstance(event, Removed)
            assert (event.id, event.cause) == (second.id, Cause.UNREGISTERED)
            assert event.revision > second.revision


async def test_leaving_the_block_takes_everything_back_at_once(place):
    async with place.connect() as r, r.watch(PROD) as stream:
        await stream.synced()
        async with place.connect() as d:
            made = await d.register(endpoint())
            await take(stream, 1)
            start = time.monotonic()
        (event,) = await take(stream, 1)
        assert time.monotonic() - start < 0.5
        assert (event.id, event.cause) == (made.id, Cause.UNREGISTERED)


async def test_a_program_that_crashed_is_told_as_such_with_evidence(place):
    async with place.connect() as r, r.watch(PROD) as stream, place.connect() as d:
        await stream.synced()
        made = await d.register(endpoint())
        await take(stream, 1)
        await d.revoke(Cause.CRASHED, "exit status 137")
        (gone,) = await take(stream, 1)
        assert (gone.id, gone.cause, gone.detail) == (made.id, Cause.CRASHED, "exit status 137")
        with pytest.raises(UnavailableError, match="being closed"):
            await d.register(endpoint())
        await d.revoke()  # once is enough
        assert list(await d.list(PROD)) == []


async def test_an_operator_removes_a_record(place):
    async with place.connect() as r, r.watch(PROD) as stream, place.connect() as d:
        made = await d.register(endpoint())
        await take(stream, 1)
        await r.remove(made)
        (gone,) = await take(stream, 1)
        assert (gone.id, gone.cause, gone.detail) == (made.id, Cause.REVOKED, None)
        with pytest.raises(NotFoundError, match="not registered"):
            await r.remove(made.id)


async def test_an_operator_drains_a_process(place):
    async with place.connect(request_timeout_s=30.0) as r, place.connect(lease_ttl_s=1.0) as d:
        made = await d.register_all([endpoint(), model()])
        assert await r.drain(d.instance_id) == 2
        assert list(await r.list(PROD)) == []
        with pytest.raises(FailedPreconditionError, match="draining"):
            await d.register(endpoint())

        def lost():
            return {spec.id(d.instance_id) for failure in d.failures for spec in failure.specs}

        await until(lambda: lost() == {i.id for i in made})
        assert all("an operator has taken it out" in str(failure.error) for failure in d.failures)
        with pytest.raises(NotFoundError, match="holds no lease"):
            await d.drain(r.instance_id)


async def test_a_lease_that_ends_is_told_with_its_cause(place):
    async with place.connect() as r, r.watch(PROD) as stream:
        await stream.synced()

        async def register(core):
            granted = await core.registry.grant(0xDEAD, 1.0, "t" * 32)
            assert granted.ttl_s == 1.0
            caller = type("C", (), {"instance_id": 0xDEAD, "token": "t" * 32, "sequence": 1})
            await core.registry.register(caller, [endpoint()])
            core.recovery.begin(-1e9)  # the recovery of its start is over

        await place.run(register)
        added, removed = await take(stream, 2)
        assert isinstance(added, Added)
        assert removed.cause is Cause.LEASE_EXPIRED


async def test_changed_misses_nothing_however_long_one_looks(place):
    async with place.connect() as d, place.connect() as r, r.watch(PROD) as stream:
        await stream.synced()
        async with asyncio.timeout(10):
            made = await d.register(endpoint())
            await until(lambda: made.id in stream.instances)
            await stream.changed()  # it was a change since we looked last
            waiting = asyncio.get_running_loop().create_task(stream.changed())
            for _ in range(3):
                await asyncio.sleep(0)
            assert not waiting.done()
            await d.unregister(made)
            await waiting
            assert not stream.instances


async def test_streams_of_one_scope_share_their_upstream(place):
    async with place.connect() as d:
        await d.register(endpoint())
        async with d.watch(PROD) as first:
            await first.synced()
            before = place.core.service.answered
            async with d.watch(PROD) as second:
                await second.synced()
                assert second.instances == first.instances
                assert place.core.service.answered == before
            made = await d.register(endpoint("other"))
            await first.reached(made.revision)  # the other's end took nothing from this one
            assert made.id in first.instances


async def test_opening_and_closing_streams_disturbs_no_other(place):
    async with place.connect() as d, d.watch(PROD) as steady:
        await steady.synced()
        for number in range(30):
            async with d.watch(ModelQuery(namespace=f"ns{number % 3}")):
                await asyncio.sleep(0.001 * (number % 4))
        made = await d.register(endpoint())
        await steady.reached(made.revision)
        assert made.id in steady.instances
        await until(lambda: steady.staleness_s < 0.5)
        assert d._here.connection.reconnects == 0
        assert not [s for s in d._here.upstreams._by_scope if s != PROD.scope]


async def test_a_closed_stream_says_so(place):
    async with place.connect() as d:
        async with d.watch(PROD) as stream:
            await stream.synced()
            waiting = asyncio.get_running_loop().create_task(stream.changed())
            await asyncio.sleep(0)
        with pytest.raises(FailedPreconditionError, match="closed"):
            await waiting
        with pytest.raises(FailedPreconditionError, match="closed"):
            await take(stream, 1)
        with pytest.raises(FailedPreconditionError, match="closed"):
            await stream.changed()
        await stream.aclose()
        with pytest.raises(FailedPreconditionError, match="entered once"):
            await stream.__aenter__()


async def test_streams_end_with_their_connection(place):
    async with place.connect() as d:
        stream = await d.watch(PROD).__aenter__()
        await stream.synced()
    with pytest.raises(FailedPreconditionError, match="closed"):
        await stream.changed()
    assert not d._streams


async def test_a_stream_that_is_not_entered_says_so(place):
    async with place.connect() as d:
        stream = d.watch(PROD)
        for wait in (stream.synced, stream.changed, stream.__anext__):
            with pytest.raises(FailedPreconditionError, match="not entered"):
                await wait()


async def test_the_view_keeps_the_position_of_who_iterates(place):
    async with place.connect() as d, place.connect() as r, r.watch(PROD) as stream:
        first = await d.register(endpoint("a"))
        events = aiter(stream)
        async with asyncio.timeout(10):
            assert (await anext(events)).instance == first
            second = await d.register(endpoint("b"))
            await until(lambda: stream._status.revision >= second.revision)
            assert set(stream.instances) == {first.id}
            assert stream.revision < second.revision
            assert (await anext(events)).instance == second
            assert set(stream.instances) == {first.id, second.id}
            del events
            third = await d.register(endpoint("c"))
            await until(lambda: third.id in stream.instances)
            (event,) = await take(stream, 1)
            assert event.instance == third


# ---- arguments


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lease_ttl_s": 0.5}, "lease_ttl_s 0.5: expected 1 to 3600 seconds"),
        ({"lease_ttl_s": 4000}, "lease_ttl_s 4000"),
        ({"lease_ttl_s": math.nan}, "lease_ttl_s nan"),
        ({"lease_ttl_s": "10"}, "lease_ttl_s '10'"),
        ({"lease_ttl_s": True}, "lease_ttl_s True"),
        ({"connect_timeout_s": 0}, "connect_timeout_s 0: expected seconds above 0"),
        ({"connect_timeout_s": math.inf}, "connect_timeout_s inf"),
        ({"request_timeout_s": -1}, "request_timeout_s -1"),
        ({"request_timeout_s": None}, "request_timeout_s None"),
        ({"instance_id": 0}, "instance_id 0: expected 1"),
        ({"instance_id": 2**64}, "instance_id must be an integer"),
        ({"instance_id": "a"}, "instance_id must be an integer"),
        ({"codec": "xml"}, "codec: .*xml"),
        ({"tenant": "a::b"}, "tenant 'a::b': expected no '::'"),
        ({"tenant": ""}, "tenant '': expected 1 to 64 bytes"),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused_at_once(options, text):
    with pytest.raises(InvalidArgumentError, match=text):
        discovery.connect("zmq://127.0.0.1:4710", **options)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("file:///tmp/x", "'file' does not exist in this version"),
        ("etcd://h", "has no port"),
        ("kubernetes://ns", "'kubernetes' does not exist in this version"),
        ("nats://h:4222?colour=red", "option .colour. is unknown"),
        ("tcp://h:4222", "no transport for 'tcp'"),
        ("http://h:4222", "scheme 'http' is not known"),
        ("zmq://h", "has no port"),
        ("zmq://h:0", "cannot connect"),
        ("zmq://*:1", "cannot connect"),
        ("memory", "expected memory://"),
        ("memory://a/b", "not allowed"),
        ("", "no scheme"),
        (None, "url None"),
    ],
    ids=str,
)
def test_a_url_that_leads_nowhere_is_refused_at_once(url, text):
    with pytest.raises(InvalidArgumentError, match=text):
        discovery.connect(url)


@pytest.mark.parametrize(
    "url", ["zmq://127.0.0.1:4710", "zmq://h:1,h:2", "memory://", "memory://x", "zmq://[::1]:1"]
)
def test_nothing_is_connected_before_the_block(url):
    d = discovery.connect(url, instance_id=7)
    assert d.instance_id == 7
    assert 0 < discovery.connect(url).instance_id < 2**53
    for use in (lambda: d.state, lambda: d.failures, lambda: d.watch(PROD), lambda: d.lease_ttl_s):
        with pytest.raises(UnavailableError, match="not connected"):
            use()


async def test_bad_arguments_of_methods(place):
    async with place.connect() as d:
        for specs in ([], endpoint(), "ab", None, [1]):
            with pytest.raises(InvalidArgumentError):
                await d.register_all(specs)
        for what in (endpoint(), "endpoints/a/b/c/1", None):
            with pytest.raises(InvalidArgumentError, match="expected an instance or its id"):
                await d.unregister(what)
            with pytest.raises(InvalidArgumentError, match="expected an instance or its id"):
                await d.remove(what)
        for instance_id in (-1, 1 << 64, "7"):
            with pytest.raises(InvalidArgumentError, match="instance_id"):
                await d.drain(instance_id)
        with pytest.raises(InvalidArgumentError, match="cause: expected unregistered or crashed"):
            await d.revoke(Cause.LEASE_EXPIRED)
        with pytest.raises(InvalidArgumentError, match="detail: expected at most 200"):
            await d.revoke(detail="x" * 201)
        for query in (endpoint(), "prod", None):
            with pytest.raises(InvalidArgumentError, match="query: expected EndpointQuery"):
                d.watch(query)
            with pytest.raises(InvalidArgumentError, match="query: expected EndpointQuery"):
                await d.list(query)
        with pytest.raises(InvalidArgumentError, match="min_revision"):
            await d.list(PROD, min_revision=-1)
        with pytest.raises(InvalidArgumentError, match="min_revision"):
            await d.list(PROD, min_revision="7")
        with pytest.raises(InvalidArgumentError, match="one endpoint"):
            await d.register_all([model(name="a"), model(name="b")])
        with pytest.raises(InvalidArgumentError, match="twice"):
            await d.register_all([endpoint(), endpoint()])
        with pytest.raises(InvalidArgumentError, match="expected 1 to 64"):
            await d.register_all([endpoint(f"e{n}") for n in range(65)])
        with pytest.raises(InvalidArgumentError, match="frame"):
            await d.register(endpoint(address="x" * (1 << 20)))
        assert list(await d.list(PROD)) == []
        with pytest.raises(FailedPreconditionError, match="entered already"):
            await d.__aenter__()


async def test_after_the_block_everything_says_so(place):
    async with place.connect() as d:
        await d.register(endpoint())
        assert d.state is ConnectionState.CONNECTED
    assert d.state is ConnectionState.CLOSED
    for use in (d.register(endpoint()), d.list(PROD), d.status()):
        with pytest.raises(UnavailableError):
            await use


async def test_names_a_transport_may_choke_on(place):
    async with place.connect() as d, d.watch(EndpointQuery(namespace="ü %.*>")) as stream:
        spec = EndpointSpec(
            namespace="ü %.*>", component="a b", endpoint="\N{SNOWMAN}", transport={"tcp": "h:1"}
        )
        made = await d.register(spec)
        await stream.reached(made.revision)
        assert dict(stream.instances) == {made.id: made}
        assert list(await d.list(EndpointQuery(namespace="ü %.*>", component="a b"))) == [made]
        assert list(await d.list(EndpointQuery(namespace="ü"))) == []


async def test_reached_waits_for_the_reader_unless_it_is_the_reader_who_asks(place) -> None:
    async with place.connect() as d, d.watch(discovery.EndpointQuery()) as stream:
        await stream.synced()
        first = await d.register(endpoint("e1"))
        events = aiter(stream)
        await anext(events)
        second = await d.register(endpoint("e2"))
        await stream.reached(second.revision)  # whoever iterates would wait for itself
        assert list(stream.instances) == [first.id]

        async def wait() -> list[discovery.EndpointId]:
            await stream.reached(second.revision)
            return list(stream.instances)

        waiting = asyncio.create_task(wait())
        await anext(events)
        assert await waiting == [first.id, second.id]


async def test_what_the_caller_does_with_its_copies_changes_no_registration(place) -> None:
    async with place.connect() as d:
        spec = model("m")
        made = await d.register(spec)
        for card in (made.card, spec.card):
            card["display_name"] = "changed"
        assert await d.register(model("m")) == model("m").instance(d.instance_id)
        await place.end_lease(d.instance_id)
        async with d.watch(ModelQuery()) as stream:
            await until(lambda: stream.instances)
            assert [one.display_name for one in stream.instances.values()] == ["m"]


async def test_a_view_cannot_be_changed_by_who_looks_at_it(place) -> None:
    async with place.connect() as d, d.watch(PROD) as stream:
        await stream.synced()
        with pytest.raises(AttributeError):
            stream.instances.clear()


async def test_a_closed_stream_is_stale_and_never_synced(place) -> None:
    async with place.connect() as d:
        async with d.watch(PROD) as stream:
            await stream.synced()
        assert stream.state is discovery.StreamState.STALE
        with pytest.raises(FailedPreconditionError, match="closed"):
            await stream.synced()
