"""A reader that does not keep up ends with the right view, at a cost of its instances only."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack

import discovery
from tests.support.processes import daemon, free_ports, program, script

INSTANCES = 1_000
CHANGES = 20_000
MAX_GROWTH_KIB = 64 * 1024


def spec(number: int, version: int) -> discovery.EndpointSpec:
    return discovery.EndpointSpec(
        namespace="churn",
        component="c",
        endpoint=f"e{number}",
        transport={"tcp": f"127.0.0.1:{version}/x"},
    )


async def test_a_blocked_and_an_idle_reader_end_right_after_20_000_changes(way):
    port = free_ports()
    url = way.url(port)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(daemon(port, *way.flags))
        d = await stack.enter_async_context(discovery.connect(url, request_timeout_s=60))
        for start in range(0, INSTANCES, 50):
            await d.register_all([spec(n, 0) for n in range(start, start + 50)])
        readers = [
            await stack.enter_async_context(program(*script("slow_router", url, how)))
            for how in ("block", "idle")
        ]
        for reader in readers:
            assert (await reader.hear())["ready"] == INSTANCES
            reader.tell("go")
            await reader.hear()
        final: dict[str, str] = {}
        for start in range(0, CHANGES, 50):
            numbers = range(start % INSTANCES, start % INSTANCES + 50)
            units = [spec(n, start + n) for n in numbers]
            revision = (await d.register_all(units))[0].revision
            final |= {str(u.id(d.instance_id)): u.transport["tcp"] for u in units}
        lines = "\n".join(sorted(f"{identity} {address}" for identity, address in final.items()))
        expected = hashlib.sha256(lines.encode()).hexdigest()
        for reader in readers:
            reader.tell("view", revision)
            async with asyncio.timeout(60):
                seen = await reader.hear()
            assert (seen["count"], seen["digest"]) == (INSTANCES, expected)
            assert seen["grown_kib"] < MAX_GROWTH_KIB
