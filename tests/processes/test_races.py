"""Promise 1 with real processes: of N racing models exactly one wins, and a loser is never seen."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import discovery
from tests.support.processes import daemon, free_ports, program, script
from transports.scope import running

CONTENDERS = 8


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


async def run_races(count: int, seed: int, command: tuple[str, ...] | None = None) -> list[str]:
    """Run races until `count`; return what was wrong with them."""
    rng, port, wrong = random.Random(seed), free_ports(), []
    url = f"zmq://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        options = {"command": command} if command else {}
        await stack.enter_async_context(daemon(port, **options))
        pool = [
            await stack.enter_async_context(program(*script("contender", url, f"model-{n}")))
            for n in range(CONTENDERS)
        ]
        for contender in pool:
            await contender.hear_until(ready=f"model-{pool.index(contender)}")
        d = await stack.enter_async_context(discovery.connect(url))
        stream = await stack.enter_async_context(d.watch(discovery.ModelQuery(namespace="race")))
        await stream.synced()
        witness = Witness()
        await stack.enter_async_context(running(witness.watch(stream), witness.list(d)))
        for number in range(count):
            racers = rng.sample(pool, rng.randint(2, CONTENDERS))
            results = await race(racers, f"e{number}")
            winners = [result["won"] for result in results if "won" in result]
            listed = await d.list(discovery.ModelQuery(namespace="race"))
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
    assert await run_races(200, seed=1) == []


async def test_without_the_conflict_rule_the_same_races_show_it():
    assert await run_races(5, seed=2, command=script("daemon_without_rule")) != []
