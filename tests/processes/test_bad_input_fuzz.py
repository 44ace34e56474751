"""Valid requests with some of their structure changed, at a live core: never an error of ours."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.core import Core
from discovery.errors import DiscoveryError, InternalError
from discovery.settings import DaemonSettings
from tests.support.changes import CHANGES, Change, change
from tests.support.raw_client import LONGEST_REFUSAL, json_frame, msgpack_frame
from transports.frame import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = {"instance_id": 2**60 + 7, "token": "other"}
PLACE = {"namespace": "n", "component": "c", "endpoint": "e"}
SPECS = [
    {"kind": "endpoints", **PLACE, "transport": {"tcp": "h:1"}, "device_type": "cuda"},
    {
        "kind": "models",
        **PLACE,
        "card": {"display_name": "m", "x": [1, {"y": 2.5}]},
        "suffix": None,
    },
    {
        "kind": "channels",
        "namespace": "n",
        "component": "c",
        "topic": "t",
        "instance_id": 7,
        "transport": {"kind": "ZmqBroker", "xsub_endpoints": ["a"], "xpub_endpoints": ["b", "c"]},
    },
]
CODES = {kind.code for kind in DiscoveryError.__subclasses__()} - {InternalError.code}

ids = count(1)


def requests(me: dict[str, Any]) -> list[dict[str, Any]]:
    """One valid request of every kind, of a process that holds a lease and has registered."""
    path = f"n/c/e/{me['instance_id']:x}"
    written = {**me, "sequence": 2, "ids": [f"endpoints/{path}", "channels/n/c/t/7"]}
    scope = {"scope": ["models", "n", "c"], "min_revision": 1}
    return [
        {"op": "hello", "client": "c", "protocol": 1},
        {"op": "grant", **me, "ttl_s": 10},
        {"op": "keep_alive", **me},
        {"op": "revoke", **me, "cause": "crashed", "detail": "exit status 1"},
        {"op": "register", **me, "sequence": 2, "specs": SPECS},
        {"op": "unregister", **written},
        {"op": "retain", **written},
        {"op": "remove", "id": f"models/{path}"},
        {"op": "drain", "instance_id": me["instance_id"]},
        {"op": "list", **scope},
        {"op": "sync", **scope, "client": "c", "epoch": "e", "since": 1},
        {"op": "status"},
        {"op": "leases"},
        {"op": "watchers"},
    ]


def frames(request: object) -> list[bytes]:
    """The request in both codecs, also where ours would not write it; as far as it goes."""
    made = []
    for encode in (
        lambda: msgpack_frame(msgpack.packb(request, unicode_errors="surrogatepass")),
        lambda: json_frame(json.dumps(request)),
    ):
        try:
            made.append(encode())
        except (TypeError, ValueError, OverflowError):  # 2^64 in MsgPack, bytes in JSON
            continue
    return made


@contextmanager
def live_core() -> Iterator[tuple[asyncio.Runner, Core]]:
    with asyncio.Runner() as runner:
        make = partial(Core, DaemonSettings(), rng=random.Random(1), now_ms=lambda: 0)
        core = make()
        runner.run(core.__aenter__())
        try:
            yield runner, core
        finally:
            runner.run(core.__aexit__(None, None, None))


async def asked(core: Core, frame: bytes) -> Any:
    replies: list[bytes] = []
    await core.service.answer(frame, replies.append, events="")
    (answer,) = [value for _, value in map(unpack, replies) if "chunk" not in value]
    if "error" in answer:
        assert len(replies[-1]) <= LONGEST_REFUSAL
    return answer


async def registered(core: Core, who: dict[str, Any], spec: dict[str, Any]) -> None:
    for request in (
        {"op": "grant", **who, "ttl_s": 3600},
        {"op": "register", **who, "sequence": 1, "specs": [spec]},
    ):
        assert "ok" in await asked(core, msgpack_frame(msgpack.packb(request)))


@pytest.fixture(scope="module")
def core() -> Iterator[tuple[asyncio.Runner, Core]]:
    with live_core() as (runner, found):
        runner.run(registered(found, OTHER, SPECS[0] | {"namespace": "other"}))
        yield runner, found


@settings(derandomize=True, max_examples=500)
@given(which=st.integers(0, 13), changes=st.lists(CHANGES, min_size=1, max_size=4))
def test_a_request_with_its_structure_changed_gets_a_typed_answer(
    core: tuple[asyncio.Runner, Core], which: int, changes: list[Change]
) -> None:
    runner, found = core

    async def main() -> None:
        me = {"instance_id": (number := next(ids)), "token": f"token {number}"}
        await registered(found, me, SPECS[1] | {"namespace": f"n{number}"})
        request = copy.deepcopy(requests(me)[which])
        for how in changes:
            change(request, how)
        for frame in frames(request):
            answer = await asked(found, frame)
            if "error" in answer:
                error = answer["error"]
                assert error["code"] in CODES, (error, request)
                assert error["message"]
        await asked(found, msgpack_frame(msgpack.packb({"op": "revoke", **me})))
        other = {"op": "keep_alive", **OTHER}
        assert "ok" in await asked(found, msgpack_frame(msgpack.packb(other)))
        assert len(found.replica.mirror.counts()) >= 1

    runner.run(main())
