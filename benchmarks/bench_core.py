"""The main figures of one daemon in memory over ZMQ.

Keep-alives, registrations, events, snapshots, memory.

usage: python benchmarks/bench_core.py [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness import daemon, quantile, report

import discovery
from discovery.link import Link
from transports.address import parse_url
from transports.codec import MSGPACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harness import DaemonProcess

CARD = json.loads(
    (Path(__file__).parent.parent / "examples/models/qwen3-0.6b/card.json").read_text()
)
SCALE = 1


def endpoint_spec(number: int) -> discovery.EndpointSpec:
    return discovery.EndpointSpec(
        namespace="bench",
        component="vllm",
        endpoint=f"generate{number % 50}",
        transport={"tcp": f"10.0.0.7:9000/{number:x}/generate"},
        device_type="cuda",
    )


async def raw_link(d: DaemonProcess) -> Link:
    """A bare connection, as many clients' processes would have one each."""
    link = Link(parse_url(d.url)[0], MSGPACK, lambda _topic, _payload: None)
    await link.__aenter__()
    await link.hello("bench", 5)
    return link


async def granted(link: Link) -> dict[str, object]:
    who = {"instance_id": secrets.randbits(52) + 1, "token": secrets.token_hex(16)}
    await link.call("grant", {**who, "ttl_s": 600.0}, 5)
    return who


async def in_flight(count: int, total: int, one: Callable[[int], Awaitable[object]]) -> float:
    """Run `one` for 0 … total-1, `count` at a time; return the seconds it took."""
    numbers = iter(range(total))

    async def lane() -> None:
        for number in numbers:
            await one(number)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(lane())
    return time.perf_counter() - started


async def bench_keep_alives() -> None:
    rows = []
    async with daemon() as d:
        for clients in (1, 4):
            links = [await raw_link(d) for _ in range(clients)]
            who = [await granted(link) for link in links for _ in range(64)]
            total = 20_000 // SCALE
            cpu = d.cpu_s()

            async def one(n: int) -> None:
                await links[n % len(links)].call("keep_alive", who[n % len(who)], 5)

            took = await in_flight(64 * clients, total, one)
            rows.append(
                {
                    "connections": clients,
                    "in flight": 64 * clients,
                    "per s": total / took,
                    "daemon us each": (d.cpu_s() - cpu) / total * 1e6,
                    "per s of daemon CPU": total / (d.cpu_s() - cpu),
                }
            )
            for link in links:
                await link.__aexit__(None, None, None)
    report("keep-alives", rows)


async def bench_registrations() -> None:
    rows = []
    for what in ("endpoint", "endpoint + model"):
        for count in (1, 64):
            async with daemon() as d:
                link = await raw_link(d)
                total = (1_000 if count == 1 else 4_000) // SCALE
                who = [await granted(link) for _ in range(total)]
                cpu = d.cpu_s()

                async def one(n: int) -> None:
                    specs = [endpoint_spec(n)]
                    if what != "endpoint":
                        place = {
                            k: getattr(specs[0], k) for k in ("namespace", "component", "endpoint")
                        }
                        specs.append(discovery.ModelSpec(**place, card=CARD))
                    await link.call("register", {**who[n], "sequence": 1, "specs": specs}, 5)

                took = await in_flight(count, total, one)
                rows.append(
                    {
                        "what": what,
                        "in flight": count,
                        "per s": total / took,
                        "daemon us each": (d.cpu_s() - cpu) / total * 1e6,
                    }
                )
                await link.__aexit__(None, None, None)
    report("registrations", rows)


async def bench_visible() -> None:
    """A registration through the public client in one process, seen by a stream in the same run."""
    async with daemon() as d:
        async with discovery.connect(d.url) as worker, discovery.connect(d.url) as router:
            async with router.watch(discovery.EndpointQuery()) as stream:
                await stream.synced()
                delays, calls = [], []
                events = aiter(stream)
                for n in range(1_000 // SCALE):
                    started = time.perf_counter()
                    call = asyncio.create_task(worker.register(endpoint_spec(n)))
                    await anext(events)
                    delays.append((time.perf_counter() - started) * 1e3)
                    await call
                    calls.append((time.perf_counter() - started) * 1e3)
                    await asyncio.sleep(0.01)
                    if n >= 49:
                        await worker.unregister(endpoint_spec(n - 49).id(worker.instance_id))
                        await anext(events)
    report(
        "register → event, 100/s",
        [
            {
                "p50 ms": quantile(delays, 0.5),
                "p99 ms": quantile(delays, 0.99),
                "call p50 ms": quantile(calls, 0.5),
            }
        ],
    )


async def fill(d: DaemonProcess, total: int) -> Link:
    link = await raw_link(d)

    async def one(n: int) -> None:
        who = await granted(link)
        await link.call("register", {**who, "sequence": 1, "specs": [endpoint_spec(n)]}, 5)

    await in_flight(64, total, one)
    return link


async def bench_snapshots() -> None:
    rows = []
    for total in (1_000, 10_000, *(() if SCALE > 1 else (100_000,))):
        async with daemon() as d:
            before = d.rss_bytes()
            link = await fill(d, total)
            grown = d.rss_bytes() - before
            times = []
            for _ in range(3):
                async with discovery.connect(d.url) as router:
                    started = time.perf_counter()
                    async with router.watch(discovery.EndpointQuery()) as stream:
                        await stream.synced()
                        times.append((time.perf_counter() - started) * 1e3)
                        assert len(stream.instances) == total
            rows.append(
                {
                    "instances": total,
                    "first watcher ms": times[0],
                    "later watcher ms": quantile(times[1:], 0.5),
                    "daemon bytes each": grown / total,
                }
            )
            await link.__aexit__(None, None, None)
    report("fresh watcher, and memory of the daemon", rows)


BENCHES = {
    "keep_alives": bench_keep_alives,
    "registrations": bench_registrations,
    "visible": bench_visible,
    "snapshots": bench_snapshots,
}


def main() -> None:
    global SCALE
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--only", choices=BENCHES)
    options = parser.parse_args()
    SCALE = 10 if options.quick else 1
    for name, bench in BENCHES.items():
        if options.only in (None, name):
            asyncio.run(bench())


if __name__ == "__main__":
    main()
