"""Events of the peer system, from one process to another: what it needs for `events`."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from typing import TYPE_CHECKING

import peer
from harness import child

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_QUIET_S = 2.0
_WALL_TIME = b"\xa9wall_time\xcb"
_METRICS = dict.fromkeys(
    (
        "dp_rank",
        "scheduled_num_prefill_requests",
        "scheduled_sum_prefill_tokens",
        "scheduled_sum_prefill_kv_tokens",
        "scheduled_num_decode_requests",
        "scheduled_sum_decode_kv_tokens",
        "queued_num_prefill_requests",
        "queued_sum_prefill_tokens",
        "queued_num_decode_requests",
        "queued_sum_decode_kv_tokens",
    ),
    0,
)


def heard(url: str, nats: str | None, total: int, per_s: int = 0) -> tuple[float, list[float]]:
    """Let one process publish so many events before a subscriber in another.

    `per_s` of 0 is as fast as it can. Returns how many arrived a second, and how many ms each of
    them took. They are its forward pass metrics, of some 400 bytes; it has no others for Python.
    """
    with child(_hear, url, nats) as reader:
        reader.recv()
        with child(_send, url, nats, total, per_s) as writer:
            reader.recv()  # one that is sent each second when idle: it is connected
            writer.send(None)
            began: float = writer.recv()
            arrivals: list[tuple[float, float]] = reader.recv()
    delays = [(at - sent) * 1e3 for sent, at in arrivals]
    return len(arrivals) / (arrivals[-1][1] - began), delays


def _send(pipe: Connection, url: str, nats: str | None, total: int, per_s: int) -> None:
    asyncio.run(_publish(pipe, url, nats, total, per_s))


async def _publish(pipe: Connection, url: str, nats: str | None, total: int, per_s: int) -> None:
    runtime = peer.begin(url, nats)
    from dynamo.llm import FpmDirectPublisher  # noqa: PLC0415 - reads its environment now

    publisher = FpmDirectPublisher(runtime.endpoint(peer.PATH), "w", 1)
    await asyncio.to_thread(pipe.recv)
    started = time.monotonic()
    pipe.send(started)
    for number in range(total):
        if per_s:
            await asyncio.sleep(started + number / per_s - time.monotonic())
        publisher.publish(**_METRICS, wall_time_secs=time.monotonic())
    await asyncio.to_thread(pipe.recv)


def _hear(pipe: Connection, url: str, nats: str | None) -> None:
    asyncio.run(_listen(pipe, url, nats))


async def _listen(pipe: Connection, url: str, nats: str | None) -> None:
    runtime = peer.begin(url, nats)
    from dynamo.llm import FpmEventSubscriber  # noqa: PLC0415 - reads its environment now

    subscriber = FpmEventSubscriber(runtime.endpoint(peer.PATH))
    pipe.send(None)
    arrivals: list[tuple[float, float]] = []

    def hear() -> None:
        is_first = True
        while (payload := subscriber.recv()) is not None:
            if sent := _wall_time(payload):
                arrivals.append((sent, time.monotonic()))
            elif is_first:
                is_first = False
                pipe.send(None)

    threading.Thread(target=hear, daemon=True).start()
    while not arrivals or time.monotonic() - arrivals[-1][1] < _QUIET_S:
        await asyncio.sleep(_QUIET_S / 4)
    pipe.send(arrivals)


def _wall_time(payload: bytes) -> float:
    """Return the time that a metric carries; 0 in those that are sent when nothing happens."""
    at = payload.find(_WALL_TIME)
    return struct.unpack_from(">d", payload, at + len(_WALL_TIME))[0] if at >= 0 else 0.0
