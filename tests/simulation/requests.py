"""One request of a router, over links that may do anything with it and with its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from discovery.errors import DiscoveryError, error_from_wire
from discovery.link import Answer
from transports.codec import MSGPACK
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.daemons import Daemon
    from tests.simulation.links import Link
    from tests.simulation.loop import Process

_PATIENCE_S = 1.0


def ask(
    link: Link,
    daemon: Daemon,
    fields: dict[str, object],
    client: Process,
    answered: Callable[[Any], None],
) -> None:
    """Ask the daemon of now; `answered` gets, once, an `Answer` or a `DiscoveryError`."""
    data, life = pack(MSGPACK, fields), daemon.process
    is_done: list[bool] = []

    def end(result: Answer | DiscoveryError) -> None:
        if not is_done:
            is_done.append(True)
            timer.cancel()
            answered(result)

    def got(payload: bytes, parts: list[Any]) -> None:
        parts.append(unpack(payload)[1])
        last = [part for part in parts if "chunk" not in part]
        if not last:
            return
        if "error" in last[0]:
            end(error_from_wire(last[0]["error"]))
            return
        chunks = sorted({p["chunk"][0]: p for p in parts if "chunk" in p}.items())
        if len(chunks) == last[0]["ok"].get("chunks", 0):
            end(Answer(last[0]["ok"], [chunk for _, chunk in chunks]))

    def arrive() -> None:
        if daemon.process is life:
            answer: list[Any] = []
            daemon.handle(data, lambda p: link.carry("back", lambda: got(p, answer), client))

    loop = asyncio.get_running_loop()
    timer = loop.call_later(_PATIENCE_S, end, DiscoveryError("no answer"))
    link.carry("there", arrive, life)
