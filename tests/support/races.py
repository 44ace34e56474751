"""Races of contenders through daemons of their own on one store, watched all the while."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from discovery.errors import ModelConflictError
from tests.support.registries import Daemon, Worker, contradict, identities, serving
from tests.support.stores import SteppedStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.identity import ModelIdentity
    from discovery.spec import ModelSpec
    from discovery.store import Entry, Store


@dataclass
class Race:
    """What came of a race."""

    seed: int
    winners: list[str] = field(default_factory=list)
    losers: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Every model that was ever confirmed, listed or published."""
    contradictions: int = 0
    """How often two models were there that may not be."""

    def note(self, models: set[ModelIdentity]) -> None:
        self.seen |= {found.display_name for found in models}
        self.contradictions += contradict(models)


async def race(store: Store, specs: Sequence[ModelSpec], *, seed: int, daemons: int) -> Race:
    """Let each of `specs` be registered by a worker of its own, all at once."""
    rng, result = random.Random(seed), Race(seed)
    ways = [SteppedStore(store) for _ in range(daemons)]
    nodes = [Daemon(way) for way in ways]  # type: ignore[arg-type]
    async with serving(*nodes):
        workers = [
            await Worker(nodes[n % daemons].registry, n + 1).grant(3600.0)
            for n in range(len(specs))
        ]
        for way in ways:
            way.before = lambda _: _linger(rng)
        start = (await store.snapshot("")).revision
        async with store.watch("v1/", start) as watch, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_contend(worker, spec, rng, result))
                for worker, spec in zip(workers, specs, strict=True)
            ]
            there: dict[str, Entry] = {}
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0)
                for batch in watch.ready():
                    for change in batch.changes:
                        there.pop(change.key, None)
                        if change.entry:
                            there[change.key] = change.entry
                    result.note(identities(there.values()))
                result.note(identities((await store.snapshot("v1/")).entries))
                for node in nodes:
                    result.seen |= {i.display_name for i in node.list()}  # type: ignore[union-attr]
    return result


async def _contend(worker: Worker, spec: ModelSpec, rng: random.Random, result: Race) -> None:
    await _linger(rng)
    name = str(spec.card["display_name"])
    try:
        await worker.register(spec)
        result.winners.append(name)
    except ModelConflictError:
        result.losers.append(name)


async def _linger(rng: random.Random) -> None:
    for _ in range(rng.randrange(4)):
        await asyncio.sleep(0)
