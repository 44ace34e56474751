"""The way to a daemon, against fakes that answer as no daemon should."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import asynccontextmanager

import pytest

from discovery.connection import Connection, ConnectionState
from discovery.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
    error_to_wire,
)
from discovery.link import Link, NoAnswerError, events_address
from tests.support.places import until
from transports.address import parse_url
from transports.codec import MSGPACK
from transports.frame import pack, unpack
from transports.opening import open_publisher, open_rpc_server

HELLO = {"daemon": "d", "beat_interval_s": 1.0}
_names = itertools.count()


class FakeDaemon:
    """Answers each op by `answers[op](request)`: a map, or bytes, or None for silence."""

    def __init__(self) -> None:
        self.url = f"memory://fake{next(_names)}"
        self.asked: list[str] = []
        self.answers = {"hello": lambda _: {"ok": HELLO | {"events": self.url}}}

    def handle(self, data, reply) -> None:
        _, request = unpack(data)
        self.asked.append(request["op"])
        made = self.answers[request["op"]](request)
        for answer in made if isinstance(made, list) else [made]:
            if answer is not None:
                reply(answer if isinstance(answer, bytes) else pack(MSGPACK, answer))

    @asynccontextmanager
    async def serving(self):
        async with open_publisher(self.url), open_rpc_server(self.url, self.handle):
            yield self


class SlowDaemon(FakeDaemon):
    """Says hello, and answers the rest when it is told, or each request at the next one."""

    def __init__(self, *, is_one_behind: bool = False) -> None:
        super().__init__()
        self.held = []
        self.is_one_behind = is_one_behind

    def handle(self, data, reply) -> None:
        if unpack(data)[1]["op"] == "hello":
            super().handle(data, reply)
        else:
            self.held.append(reply)
            if self.is_one_behind and len(self.held) > 1:
                self.answer(-2, {"ok": {"n": len(self.held) - 1}})

    def answer(self, number, *messages) -> None:
        for message in messages:
            self.held[number](pack(MSGPACK, message))

    async def asked_again(self, c, first, second):
        """Ask, give up, ask again; return who waits."""
        with pytest.raises(NoAnswerError, match="no answer to"):
            await c.call(*first, 0.01)
        again = asyncio.create_task(c.call(*second, 5.0))
        await until(lambda: len(self.held) == 2)
        return again


def connection(*urls: str, timeout_s: float = 1.0, on_up=lambda *_: None, on_down=lambda: None):
    return Connection(
        [address for url in urls for address in parse_url(url)],
        codec=MSGPACK,
        client="test",
        connect_timeout_s=timeout_s,
        rng=random.Random(1),
        on_up=on_up,
        on_down=on_down,
        on_message=lambda *_: None,
    )


async def test_an_answer_may_come_in_chunks():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        daemon.answers["list"] = lambda _: [{"chunk": [0, 1], "x": 1}, {"ok": {"y": 2}}]
        answer = await c.call("list", {}, 1.0)
        assert (answer.result, answer.chunks) == ({"y": 2}, [{"chunk": [0, 1], "x": 1}])


@pytest.mark.parametrize("bad", [b"", b"\x01m\x00\xc1", {"ok": []}, {"ok": 1}, {}, []], ids=str)
async def test_an_unreadable_answer_is_as_good_as_none(bad):
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        daemon.answers["list"] = lambda _: bad if bad != [] else [pack(MSGPACK, [])]
        with pytest.raises(NoAnswerError, match="unreadable answer"):
            await c.call("list", {}, 1.0)


async def test_a_second_answer_is_ignored():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        daemon.answers["list"] = lambda _: [{"ok": {"n": 1}}, {"ok": {"n": 2}}, b"junk"]
        assert (await c.call("list", {}, 1.0)).result == {"n": 1}
        assert (await c.call("list", {}, 1.0)).result == {"n": 1}


async def test_what_cannot_be_sent_is_the_callers_fault():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        with pytest.raises(InvalidArgumentError, match="list: "):
            await c.call("list", {"x": object()}, 1.0)


async def test_whoever_stood_still_hears_what_was_answered_meanwhile():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        daemon.answers["list"] = lambda _: {"ok": {"n": 1}}
        asking = asyncio.create_task(c.call("list", {}, 0.5))
        await asyncio.sleep(0)
        time.sleep(1.2)  # noqa: ASYNC251 - that is the point
        assert (await asking).result == {"n": 1}


async def test_after_three_silences_the_next_daemon_is_tried():
    async with FakeDaemon().serving() as mute, FakeDaemon().serving() as good:
        mute.answers["list"] = lambda _: None
        good.answers["list"] = lambda _: {"ok": {"from": "good"}}
        async with connection(mute.url, good.url) as c:
            for _ in range(3):
                with pytest.raises(NoAnswerError, match="no answer to list within"):
                    await c.call("list", {}, 0.01)
            assert (await c.call_patiently("list", {}, 2.0)).result == {"from": "good"}
            assert c.reconnects == 1


async def test_a_late_answer_answers_the_same_request():
    async with SlowDaemon().serving() as daemon, connection(daemon.url) as c:
        renewal = ("keep_alive", {"token": "t"})
        again = await daemon.asked_again(c, renewal, renewal)
        daemon.answer(0, {"ok": {"n": 1}})
        assert (await again).result == {"n": 1}


async def test_a_late_answer_answers_no_other_request():
    async with SlowDaemon().serving() as daemon, connection(daemon.url) as c:
        first, second = ("keep_alive", {"token": "t"}), ("keep_alive", {"token": "u"})
        again = await daemon.asked_again(c, first, second)
        daemon.answer(0, {"ok": {"n": 1}})
        daemon.answer(1, {"ok": {"n": 2}})
        assert (await again).result == {"n": 2}


async def test_a_late_answer_does_not_answer_what_may_have_changed_meanwhile():
    async with SlowDaemon().serving() as daemon, connection(daemon.url) as c:
        again = await daemon.asked_again(c, ("list", {}), ("list", {}))
        daemon.answer(0, {"ok": {"n": 1}})
        daemon.answer(1, {"ok": {"n": 2}})
        assert (await again).result == {"n": 2}


async def test_of_what_was_given_up_only_so_much_is_remembered():
    async with SlowDaemon(is_one_behind=True).serving() as daemon, connection(daemon.url) as c:
        for number in range(17):
            with pytest.raises(NoAnswerError, match="no answer to grant"):
                await c.call("grant", {"n": number}, 0.05)
        daemon.is_one_behind = False
        again = asyncio.create_task(c.call("grant", {"n": 0}, 5.0))
        await until(lambda: len(daemon.held) == 18)
        daemon.answer(0, {"ok": {"n": 1}})
        daemon.answer(17, {"ok": {"n": 18}})
        assert (await again).result == {"n": 18}


async def test_a_daemon_that_answers_late_is_not_left():
    slow, other = SlowDaemon(is_one_behind=True), FakeDaemon()
    async with slow.serving(), other.serving(), connection(slow.url, other.url) as c:
        with pytest.raises(NoAnswerError, match="no answer to register"):
            await c.call("register", {"sequence": 0}, 0.01)
        for number in range(1, 4):
            with pytest.raises(NoAnswerError, match="no answer to register"):
                await c.call("register", {"sequence": number}, 0.5, is_urgent=True)
        assert c.reconnects == 0


async def test_who_was_urgent_in_vain_waits_longer_at_the_next_daemon():
    one, two = SlowDaemon(), SlowDaemon()
    async with one.serving(), two.serving(), connection(one.url, two.url) as c:
        for most in (1, 2, 3, 3):
            moves = c.reconnects
            for _ in range(most):
                with pytest.raises(NoAnswerError, match="no answer to keep_alive"):
                    await c.call("keep_alive", {}, 0.01, is_urgent=True)
            await until(lambda moves=moves: c.reconnects == moves + 1)


async def test_after_one_silence_that_is_urgent_the_next_daemon_is_tried():
    async with FakeDaemon().serving() as mute, FakeDaemon().serving() as good:
        mute.answers["keep_alive"] = lambda _: None
        good.answers["keep_alive"] = lambda _: {"ok": {"from": "good"}}
        async with connection(mute.url, good.url) as c:
            with pytest.raises(NoAnswerError, match="no answer to keep_alive within"):
                await c.call("keep_alive", {}, 0.01, is_urgent=True)
            assert (await c.call_patiently("keep_alive", {}, 2.0)).result == {"from": "good"}
            assert mute.asked.count("keep_alive") == 1
            assert c.reconnects == 1


async def test_the_only_daemon_is_not_left_for_one_silence():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        daemon.answers["keep_alive"] = lambda _: None
        with pytest.raises(NoAnswerError):
            await c.call("keep_alive", {}, 0.01, is_urgent=True)
        daemon.answers["keep_alive"] = lambda _: {"ok": {}}
        await c.call_patiently("keep_alive", {}, 2.0)
        assert c.reconnects == 0


async def test_a_daemon_that_says_no_is_not_silent():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        no = {"error": error_to_wire(UnavailableError("not now"))}
        daemon.answers["list"] = lambda _: no if len(daemon.asked) % 2 else None
        for _ in range(8):
            with pytest.raises(UnavailableError):
                await c.call("list", {}, 0.01)
        assert c.reconnects == 0


async def test_patience_repeats_what_may_be_repeated_and_waits_as_asked():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        busy = {"error": error_to_wire(ResourceExhaustedError("busy", retry_after_s=0.05))}
        daemon.answers["list"] = lambda _: busy if daemon.asked.count("list") < 3 else {"ok": {}}
        start = asyncio.get_running_loop().time()
        await c.call_patiently("list", {}, 2.0)
        assert asyncio.get_running_loop().time() - start >= 0.1


async def test_patience_ends_with_the_last_error():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        daemon.answers["list"] = lambda _: {"error": error_to_wire(UnavailableError("not now"))}
        with pytest.raises(UnavailableError, match="not now"):
            await c.call_patiently("list", {}, 0.1)
        daemon.answers["list"] = lambda _: {"error": error_to_wire(InternalError("bug"))}
        with pytest.raises(InternalError, match="bug"):
            await c.call_patiently("list", {}, 0.1)


async def test_an_answer_that_never_ends_is_not_waited_for_for_ever():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:

        def trickle(_request):
            return [{"chunk": [0, 9]}]

        daemon.answers["list"] = trickle
        with pytest.raises(DeadlineExceededError, match=r"list: no answer within 0\.1 s"):
            await c.call_patiently("list", {}, 0.1)


async def test_another_protocol_is_refused_at_once():
    async with FakeDaemon().serving() as daemon:
        refusal = {"error": error_to_wire(InvalidArgumentError("protocol 1: expected 2"))}
        daemon.answers["hello"] = lambda _: refusal
        with pytest.raises(InvalidArgumentError, match="expected 2"):
            async with connection(daemon.url, timeout_s=30.0):
                pass


@pytest.mark.parametrize("events", [None, 7, "", "http://x", "memory://a/b"])
async def test_an_unusable_events_address_is_told(events):
    async with FakeDaemon().serving() as daemon:
        daemon.answers["hello"] = lambda _: {"ok": HELLO | {"events": events}}
        with pytest.raises(UnavailableError, match="unusable events address"):
            async with connection(daemon.url, timeout_s=0.1):
                pass


async def test_a_greeting_that_will_not_do_leaves_nothing_behind():
    def refuse(_link, _greeting) -> None:
        raise InvalidArgumentError("greets with beats of 0 s")

    downs = []
    async with FakeDaemon().serving() as daemon:
        c = connection(daemon.url, on_up=refuse, on_down=lambda: downs.append(1))
        with pytest.raises(InvalidArgumentError, match="beats of 0 s"):
            await c.__aenter__()
        assert c._link is None
        assert downs
        with pytest.raises(NoAnswerError, match="not connected"):
            await c.call("list", {}, 1.0)


async def test_a_fault_of_ours_is_logged_and_the_next_attempt_made(caplog):
    faults = []

    def fail_once(_link, _greeting) -> None:
        if not faults:
            faults.append(1)
            raise ZeroDivisionError

    async with FakeDaemon().serving() as daemon, connection(daemon.url, on_up=fail_once) as c:
        assert c.state is ConnectionState.CONNECTED
    assert "connection failed" in caplog.text
    assert c.state is ConnectionState.CLOSED


async def test_a_daemon_of_another_registry_is_not_used():
    async with FakeDaemon().serving() as first, FakeDaemon().serving() as other:
        first.answers["hello"] = lambda _: {"ok": HELLO | {"events": "memory://", "registry_id": 1}}
        other.answers["hello"] = lambda _: {"ok": HELLO | {"events": "memory://", "registry_id": 2}}
        async with connection(first.url, other.url) as c:
            c.leave(c._link)
            await until(lambda: c.reconnects == 1)
            assert c._link.address.host == parse_url(first.url)[0].host
            assert "serves registry 2, expected 1" in str(c._last_error)


async def test_leaving_a_link_that_is_no_longer_used_does_nothing():
    async with FakeDaemon().serving() as daemon, connection(daemon.url) as c:
        old = c._link
        c.leave(old)
        await until(lambda: c.reconnects == 1)
        c.leave(old)
        assert not c._is_lost.is_set()


async def test_requests_under_way_end_with_their_link():
    async with FakeDaemon().serving() as daemon:
        daemon.answers["list"] = lambda _: None
        link = Link(parse_url(daemon.url)[0], MSGPACK, lambda *_: None)
        async with asyncio.TaskGroup() as group, link:
            await link.hello("c", 1.0)
            waiting = group.create_task(outcome(link.call("list", {}, 30.0)))
            await until(lambda: "list" in daemon.asked)
        assert "the connection was closed" in str(waiting.result())
        with pytest.raises(NoAnswerError, match="the connection was closed"):
            await link.subscribe("e/")
        link.unsubscribe("e/")
        with pytest.raises(NoAnswerError, match="closed"):
            await link.call("list", {}, 1.0)


async def outcome(awaitable) -> object:
    try:
        return await awaitable
    except NoAnswerError as error:
        return error


async def test_nothing_can_be_heard_before_the_greeting():
    link = Link(parse_url("memory://nowhere")[0], MSGPACK, lambda *_: None)
    async with link:
        with pytest.raises(NoAnswerError, match="not said where it publishes"):
            await link.subscribe("e/")


async def test_a_wildcard_events_address_is_that_of_the_daemons_host():
    address = parse_url("zmq://10.1.2.3:4710")[0]
    link = Link(address, MSGPACK, lambda *_: None)
    assert str(events_address(link.address, "zmq://0.0.0.0:4711")) == "zmq://10.1.2.3:4711"
    assert str(events_address(link.address, "zmq://h:4711")) == "zmq://h:4711"
