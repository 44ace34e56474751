"""Promise 1 with real processes: of N racing models exactly one wins, and a loser is never seen."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import discovery
from tests.support.processes import daemon, free_ports, program, script
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTENDERS = 8
MODELS = discovery.ModelQuery(namespace="race")


class Witness:
    """Watches and lists all the time, and remembers every model it ever saw at an endpoint."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = {}
        self.looks = 0

    def note(self, model: discovery.ModelInstance) -> None:
        self.seen.setdefault(model.endpoint, set()).add(model.display_name)

    async def watch(self, stream: discovery.WatchStream) -> None:
        async for event in stream:
            if isinstance(event, discovery.Added):
                self.note(event.instance)

    async def list(self, d: discovery.Discovery) -> None:
        while True:
            for model in await d.list(discovery.ModelQuery(namespace="race")):
                self.note(model)
            self.looks += 1


async def race(contenders: list, endpoint: str) -> list[dict]:
    for contender in contenders:
        contender.tell("race", endpoint)
    return [await contender.hear() for contender in contenders]


async def run_races(
    count: int, seed: int, urls: Sequence[str], watched: Sequence[str]
) -> list[str]:
    """Run races until `count` among contenders at `urls`; return what was wrong with them."""
    rng, wrong = random.Random(seed), []
    async with AsyncExitStack() as stack:
        pool = [
            await stack.enter_async_context(
                program(*script("contender", urls[n % len(urls)], f"model-{n}"))
            )
            for n in range(CONTENDERS)
        ]
        for number, contender in enumerate(pool):
            await contender.hear_until(ready=f"model-{number}")
        views = []
        witness = Witness()
        for url in watched:
            d = await stack.enter_async_context(discovery.connect(url))
            stream = await stack.enter_async_context(d.watch(MODELS))
            await stream.synced()
            await stack.enter_async_context(running(witness.watch(stream), witness.list(d)))
            views.append((d, stream))
        for number in range(count):
            racers = rng.sample(pool, rng.randint(2, CONTENDERS))
            results = await race(racers, f"e{number}")
            winners = [result["won"] for result in results if "won" in result]
            for d, stream in views:
                listed = await d.list(MODELS)
                await stream.reached(listed.revision)
                await asyncio.sleep(0)  # the witness takes what has arrived
            seen = witness.seen.get(f"e{number}", set())
            if len(winners) != 1 or seen != set(winners):
                wrong.append(f"seed {seed} race {number}: winners {winners}, seen {sorted(seen)}")
            if any(result.get("to") not in (None, *winners) for result in results):
                wrong.append(f"seed {seed} race {number}: an incumbent that is none, {results}")
        assert witness.looks > count
    return wrong


async def test_of_racing_models_exactly_one_wins_and_no_loser_is_ever_seen():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port):
        assert await run_races(100, 1, [url], [url]) == []


async def test_without_the_conflict_rule_the_same_races_show_it():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port, command=script("daemon_without_rule")):
        assert await run_races(5, 2, [url], [url]) != []


async def test_so_it_is_with_contenders_at_three_daemons_on_one_etcd_and_without_any(etcd):
    store, ports = etcd.own_url(), [free_ports() for _ in range(3)]
    urls = [f"zmq://127.0.0.1:{port}" for port in ports]
    async with AsyncExitStack() as stack:
        for port in ports:
            await stack.enter_async_context(daemon(port, "--store", store))
        assert await run_races(40, 3, [*urls, store], [*urls, store]) == []
