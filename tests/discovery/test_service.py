from __future__ import annotations

import asyncio
import random
import re
from contextlib import asynccontextmanager
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discovery.core import Core
from discovery.errors import InternalError
from discovery.link import Answer
from discovery.reading import answer_from_wire, rows_from_wire
from discovery.settings import DaemonSettings, WatchSettings
from discovery.specwire import spec_to_wire
from tests.discovery.test_fields import JUNK
from tests.support.specs import endpoint, model
from transports.codec import JSON, MSGPACK
from transports.frame import pack, unpack

pytestmark = pytest.mark.looptime

CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
TOKEN = "t" * 32
CALLER = {"instance_id": 0xA, "token": TOKEN}
NOW_MS = 1_700_000_000_000
SYNC = {"client": "c", "scope": ["endpoints"], "epoch": None, "since": 0, "min_revision": 0}


class Asker:
    """Asks a core in bytes, as a socket would."""

    def __init__(self, core: Core, codec=MSGPACK) -> None:
        self.core, self.codec = core, codec
        self.sequence = 0

    async def raw(self, data: bytes) -> list[object]:
        replies: list[bytes] = []
        await self.core.service.answer(data, replies.append, events="zmq://127.0.0.1:1")
        return [unpack(reply)[1] for reply in replies]

    async def ask(self, op: str, **fields) -> Answer:
        *chunks, last = await self.raw(pack(self.codec, {"op": op, **fields}))
        assert "ok" in last, last
        return Answer(last["ok"], chunks)

    async def refused(self, op: object, **fields) -> dict:
        (reply,) = await self.raw(pack(self.codec, {"op": op, **fields}))
        return reply["error"]

    async def register(self, *specs) -> int:
        self.sequence += 1
        answer = await self.ask(
            "register",
            **CALLER,
            sequence=self.sequence,
            specs=[spec_to_wire(spec) for spec in specs],
        )
        assert answer.result["epoch"] == self.core.store.epoch
        return answer.result["revision"]

    async def sync(self, **fields):
        return answer_from_wire(1, await self.ask("sync", **(SYNC | fields)))


@asynccontextmanager
async def running_core(codec=MSGPACK, **watch):
    settings_ = DaemonSettings(store="memory://", watch=WatchSettings(**watch))
    make = partial(Core, settings_, rng=random.Random(1), now_ms=lambda: NOW_MS)
    async with await asyncio.to_thread(make) as core:
        yield Asker(core, codec)


@CODECS
async def test_each_operation_is_answered_in_the_codec_of_its_request(codec):
    async with running_core(codec) as asker:
        hello = await asker.ask("hello", client="c", protocol=1)
        assert hello.result["events"] == "zmq://127.0.0.1:1"
        assert hello.result["daemon"] == asker.core.daemon
        assert hello.result["epoch"] == asker.core.store.epoch
        assert hello.result["beat_interval_s"] == 1.0
        granted = await asker.ask("grant", **CALLER, ttl_s=10.0)
        epoch = asker.core.store.epoch
        lease = {"ttl_s": 10.0, "renew_s": 10.0 / 3, "draining": False, "epoch": epoch}
        assert granted.result == lease | {"since": hello.result["revision"] + 1}
        revision = await asker.register(endpoint(), model())
        assert (await asker.ask("keep_alive", **CALLER)).result == granted.result
        listed = answer_from_wire(
            1, await asker.ask("list", scope=["models", "prod"], min_revision=revision)
        )
        (change,) = listed.snapshot
        assert change.item.instance.display_name == "llama"
        status = (await asker.ask("status")).result
        assert status["records"] == {"endpoints": 1, "models": 1}
        assert status["processes"] == 1
        assert status["recovering"] is True
        assert status["now_ms"] == NOW_MS
        (row,) = rows_from_wire(await asker.ask("leases"))
        assert row == {"id": "a", "records": 2, "ttl_s": 10.0, "draining": False}
        ids = [str(model().id(0xA))]
        gone = await asker.ask("unregister", **CALLER, sequence=9, ids=ids)
        assert gone.result["revision"] > revision
        assert gone.result["epoch"] == epoch
        ids = [str(endpoint().id(0xA))]
        kept = await asker.ask("retain", **CALLER, sequence=10, ids=ids)
        assert kept.result == {"revision": gone.result["revision"] + 1, "epoch": epoch}
        await asker.ask("remove", id=ids[0])
        assert (await asker.ask("status")).result["records"] == {}
        assert (await asker.ask("drain", instance_id=0xA)).result == {"removed": 0}
        assert (await asker.ask("revoke", **CALLER)).result["revision"] > gone.result["revision"]
        data = pack(codec, {"op": "status"})
        replies: list[bytes] = []
        await asker.core.service.answer(data, replies.append, events="")
        assert [unpack(reply)[0] for reply in replies] == [codec]
        assert asker.core.service.refused == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "frame has 0 bytes"),
        (b"\x01j", "frame has 2 bytes"),
        (b"\x02j\x00{}", "frame version is 0x02"),
        (b"\x01x\x00{}", "frame codec is 0x78"),
        (b"\x01j\x01{}", "frame flags are 0x01"),
        (b"\x01j\x00" + b" " * (1 << 20), "expected at most 1048576"),
        (b"\x01j\x00{", "is not JSON"),
        (b"\x01m\x00\xc1", "MessagePack|MsgPack|msgpack"),
        (b"\x01j\x00[]", "request: expected a map"),
        (b"\x01m\x00\x90", "request: expected a map"),
        (b'\x01j\x00{"op":"status","op":"status"}', "'op' appears twice"),
        (b'\x01j\x00{"op":NaN}', "not JSON"),
        (b'\x01j\x00{"op":18446744073709551616}', "64"),
        (b'\x01j\x00{"op":' + b"[" * 33 + b"]" * 33 + b"}", "deep|32"),
        (b"\x01j\x00{}", "request.op: expected a text, got nothing"),
        (b'\x01j\x00{"op":1}', "request.op: expected a text, got 1"),
        (b'\x01j\x00{"op":"dance"}', "request.op: expected one of .*, got 'dance'"),
        (b'\x01j\x00{"op":"status","x":1}', "request: unknown field 'x'"),
        (b'\x01j\x00{"op":"leases","x":1}', "request: unknown field 'x'"),
        (b'\x01j\x00{"op":"\\ud800"}', "not JSON"),
    ],
    ids=range(20),
)
async def test_a_bad_frame_is_refused_in_words(data, text):
    async with running_core() as asker:
        (reply,) = await asker.raw(data)
        assert reply["error"]["code"] == "invalid_argument"
        assert asker.core.service.refused == 1
        assert re.search(text, reply["error"]["message"]), reply["error"]["message"]


@pytest.mark.parametrize(
    ("op", "fields", "text"),
    [
        ("hello", {"client": "c"}, "request.protocol"),
        ("hello", {"client": 1, "protocol": 1}, "request.client"),
        ("hello", {"client": "c", "protocol": 2}, "protocol 2: expected 1"),
        ("grant", CALLER, "request.ttl_s"),
        ("grant", CALLER | {"ttl_s": 0.01}, "ttl_s 0.01: expected 1 to 3600"),
        ("grant", CALLER | {"ttl_s": 10.0, "instance_id": 0}, "request.instance_id"),
        ("keep_alive", {"instance_id": 1}, "request.token"),
        ("revoke", {"token": "t"}, "request.instance_id"),
        ("register", CALLER | {"specs": []}, "request.sequence"),
        ("register", CALLER | {"sequence": 1, "specs": []}, "specs: got 0"),
        ("register", CALLER | {"sequence": 1, "specs": [1]}, r"request.specs[0]: expected a map"),
        ("unregister", CALLER | {"sequence": 1, "ids": [1]}, "request.ids[0]: expected a text"),
        ("unregister", CALLER | {"sequence": 1, "ids": ["x"]}, "Invalid id 'x'"),
        ("retain", CALLER | {"sequence": 1, "ids": 1}, "request.ids: expected a list"),
        ("revoke", CALLER | {"cause": "bored"}, "request.cause: expected unregistered or crashed"),
        ("revoke", CALLER | {"detail": "a\nb"}, "request.detail: expected at most 200 printable"),
        ("remove", {"id": "x"}, "Invalid id 'x'"),
        ("drain", {"instance_id": "a"}, "request.instance_id"),
        ("list", {"scope": ["x"], "min_revision": 0}, "request.scope"),
        ("list", {"scope": ["models"], "min_revision": -1}, "request.min_revision"),
        ("list", SYNC, "request: unknown field 'client'"),
        ("sync", SYNC | {"client": None}, "request.client"),
        ("sync", SYNC | {"epoch": 1}, "request.epoch"),
        ("sync", SYNC | {"since": "1"}, "request.since"),
        ("sync", SYNC | {"x": "1"}, "request: unknown field 'x'"),
    ],
    ids=range(25),
)
async def test_a_wrong_field_is_refused_by_name(op, fields, text):
    async with running_core() as asker:
        error = await asker.refused(op, **fields)
        assert error["code"] == "invalid_argument"
        assert text in error["message"]


@pytest.mark.parametrize("request_", [{"op": "x" * 900_000}, {"op": "status", "x" * 900_000: 1}])
async def test_a_refusal_of_something_huge_is_short(request_):
    async with running_core() as asker:
        (reply,) = await asker.raw(pack(MSGPACK, request_))
        assert len(reply["error"]["message"]) < 600


async def test_a_refusal_that_fits_into_no_frame_is_sent_without_its_text():
    async with running_core() as asker:
        answers: list[bytes] = []
        asker.core.service._refuse(MSGPACK, answers.append, InternalError("x" * (1 << 20)))
        assert unpack(answers[0])[1]["error"]["code"] == "internal"


async def test_an_error_nobody_thought_of_is_internal_and_the_daemon_stays_up(caplog):
    async with running_core() as asker:
        service = asker.core.service

        async def broken(_fields):
            raise ZeroDivisionError

        service._calls = {**service._calls, "status": broken}
        error = await asker.refused("status")
        assert (error["code"], error["message"]) == ("internal", "ZeroDivisionError in the daemon")
        assert "request failed" in caplog.text
        await asker.ask("hello", client="c", protocol=1)


async def test_a_model_conflict_carries_its_attributes():
    async with running_core() as asker:
        await asker.ask("grant", **CALLER, ttl_s=10.0)
        await asker.register(model("llama"))
        error = await asker.refused(
            "register", **CALLER, sequence=5, specs=[spec_to_wire(model("qwen", suffix=None))]
        )
        assert error["code"] == "failed_precondition" or error["type"] == "already_exists"
        other = {"instance_id": 0xB, "token": TOKEN}
        await asker.ask("grant", **other, ttl_s=10.0)
        error = await asker.refused(
            "register", **other, sequence=1, specs=[spec_to_wire(model("qwen"))]
        )
        assert error["type"] == "model_conflict"
        assert error["details"]["requested"] == "qwen"
        assert error["details"]["incumbent_count"] == 1


@CODECS
async def test_a_sync_is_a_snapshot_then_backfills(codec):
    async with running_core(codec) as asker:
        await asker.ask("grant", **CALLER, ttl_s=10.0)
        await asker.register(endpoint("a"))
        first = await asker.sync()
        assert [c.item.instance.endpoint for c in first.snapshot] == ["a"]
        second = await asker.register(endpoint("b"))
        third = await asker.register(endpoint("c"))
        answer = await asker.sync(epoch=first.epoch, since=first.revision)
        assert [c.revision for c in answer.commits] == [second, third]
        assert answer.revision == third
        assert answer.digest == asker.core.feed.mirror.digest(("endpoints",))
        again = await asker.sync(epoch=first.epoch, since=third)
        assert again.commits == []
        other = await asker.sync(epoch="another", since=third)
        assert len(other.snapshot) == 3


async def test_a_big_commit_is_spread_over_chunks_and_put_together():
    async with running_core(chunk_bytes=4096) as asker:
        await asker.ask("grant", **CALLER, ttl_s=10.0)
        before = await asker.sync()
        revision = await asker.register(*[endpoint(f"e{n}") for n in range(64)])
        raw = await asker.ask("sync", **(SYNC | {"epoch": before.epoch, "since": before.revision}))
        assert len(raw.chunks) > 2
        (commit,) = answer_from_wire(1, raw).commits
        assert (commit.revision, len(commit.changes)) == (revision, 64)
        assert len((await asker.sync()).snapshot) == 64


async def test_a_revision_that_is_not_reached_in_time_is_unavailable():
    async with running_core() as asker:
        loop = asyncio.get_running_loop()
        start = loop.time()
        error = await asker.refused("list", scope=["models"], min_revision=999)
        assert error["code"] == "unavailable"
        assert "revision 999 is not reached yet" in error["message"]
        assert 1.9 < loop.time() - start < 2.1
        epoch = asker.core.store.epoch
        error = await asker.refused("sync", **(SYNC | {"epoch": epoch, "since": 999}))
        assert error["code"] == "unavailable"


async def test_a_list_waits_for_its_revision():
    async with running_core() as asker:
        await asker.ask("grant", **CALLER, ttl_s=10.0)
        revision = asker.core.store._history.revision + 1
        async with asyncio.TaskGroup() as group:
            listing = group.create_task(
                asker.ask("list", scope=["endpoints"], min_revision=revision)
            )
            await asyncio.sleep(0.1)
            assert not listing.done()
            await asker.register(endpoint())
        assert len(answer_from_wire(1, listing.result()).snapshot) == 1


async def test_snapshots_over_the_budget_are_put_off():
    async with running_core(snapshot_bytes_per_s=1 << 16) as asker:
        await asker.ask("grant", **CALLER, ttl_s=60.0)
        for part in range(4):
            await asker.register(*[endpoint(f"e{part}x{n}") for n in range(64)])
        await asker.sync()
        await asker.sync()
        error = await asker.refused("sync", **SYNC)
        assert error["code"] == "resource_exhausted"
        wait_s = error["details"]["retry_after_s"]
        assert 0 < wait_s < 2
        known = await asker.ask(
            "sync",
            **(SYNC | {"epoch": asker.core.store.epoch, "since": asker.core.feed.mirror.revision}),
        )
        assert known.chunks == []  # what costs nothing is not put off
        await asyncio.sleep(wait_s + 0.01)
        await asker.sync()


async def test_watchers_are_told_and_long_tables_come_in_chunks():
    async with running_core() as asker:
        await asker.sync()
        await asker.sync(client="x" * 1000, scope=["models", "prod"])
        first, second = rows_from_wire(await asker.ask("watchers"))
        assert (first["client"], first["scope"]) == ("c", ["endpoints"])
        assert (second["client"], second["scope"]) == ("x" * 200, ["models", "prod"])
        for number in range(600):
            await asker.sync(client=f"c{number}")
        answer = await asker.ask("watchers")
        assert len(answer.chunks) == 3
        assert len(rows_from_wire(answer)) == 602
        assert (await asker.ask("status")).result["watchers"] == 602


async def test_last_words_are_passed_on():
    async with running_core() as asker:
        await asker.ask("grant", **CALLER, ttl_s=10.0)
        since = await asker.register(endpoint())
        why = {"cause": "crashed", "detail": "exit status 137"}
        await asker.ask("revoke", **CALLER, **why)
        synced = await asker.sync(epoch=asker.core.store.epoch, since=since)
        ((change,),) = [commit.changes for commit in synced.commits]
        assert (change.cause, change.detail) == ("crashed", "exit status 137")


async def test_the_clock_of_an_answer_is_that_of_its_question():
    """Else a view that had to wait for its revision is believed to be fresher than it is."""
    async with running_core() as asker:
        asked_at = asyncio.get_running_loop().time()
        sync = asyncio.create_task(asker.sync(min_revision=2, scope=["endpoints"]))
        await asyncio.sleep(1.0)
        await asker.ask("grant", **CALLER, ttl_s=10.0)
        assert (await sync).time_s == asked_at


async def test_requests_are_counted():
    async with running_core() as asker:
        await asker.ask("status")
        await asker.refused("dance")
        assert (asker.core.service.answered, asker.core.service.refused) == (1, 1)


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)
@given(
    op=st.sampled_from(
        [
            *("hello", "grant", "keep_alive", "revoke", "register", "unregister", "retain"),
            *("remove", "drain", "list", "sync"),
        ]
    ),
    junk=st.dictionaries(
        st.sampled_from(
            ["instance_id", "token", "sequence", "specs", "ids", "scope", "since", "ttl_s", "x"]
        ),
        JUNK,
        max_size=4,
    ),
)
@pytest.mark.looptime(False)  # noqa: FBT003 - the mark of looptime is like that
def test_whatever_is_asked_is_answered_and_never_internal(op, junk):
    async def main() -> None:
        async with running_core() as asker:
            await asker.ask("grant", **CALLER, ttl_s=10.0)
            base = {"client": "c", "min_revision": 0, "epoch": None, "protocol": 1, **CALLER}
            for fields in (junk, base | SYNC | junk):
                try:
                    data = pack(JSON, {"op": op, **fields})
                except Exception:  # noqa: BLE001 - what cannot be sent is not asked
                    return
                *_, reply = await asker.raw(data)
                assert "ok" in reply or reply["error"]["code"] != "internal", reply

    asyncio.run(main())


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)
@given(data=st.binary(max_size=80), at=st.integers(0, 60), cut=st.integers(0, 60))
@pytest.mark.looptime(False)  # noqa: FBT003 - the mark of looptime is like that
def test_whatever_arrives_is_answered_and_never_internal(data, at, cut):
    async def main() -> None:
        async with running_core() as asker:
            good = pack(MSGPACK, {"op": "sync", **SYNC})
            for frame in (data, good[:at] + data + good[at + cut :]):
                *_, reply = await asker.raw(frame)
                assert "ok" in reply or reply["error"]["code"] != "internal", reply

    asyncio.run(main())
