"""Many workers in one process that come, change and leave.

usage: python -m tests.soak.workers URL TTL_S SEED COUNT CHANGES_PER_S

Told `calm` it brings the workers to COUNT and says what they have registered, told `go` it goes on.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import discovery
from discovery import EndpointSpec, EventChannelSpec, ModelSpec, ZmqTransport
from tests.soak.facts import facts_of
from tests.soak.places import some_place
from tests.soak.talk import PATIENCE_S, heard, say
from transports.scope import running

if TYPE_CHECKING:
    from discovery import Discovery, Instance, Spec

_AT_ONCE = 20
_SWING = 0.05  # of the number of workers, up and down
_WITH_CHANNEL = 0.2


@dataclass
class Worker:
    """One worker with a connection of its own, and what it has registered."""

    d: Discovery
    place: dict[str, str]
    channel: int | None
    change: int = 0
    instances: list[Instance] = field(default_factory=list)

    def specs(self) -> list[Spec]:
        """What it registers: all of its records carry the number of the change."""
        self.change += 1
        address, name = f"10.0.0.1:9000/{self.change}", f"model-{self.place['endpoint']}"
        card = {"display_name": name, "change": self.change, "note": "x" * (self.change % 50)}
        specs: list[Spec] = [
            EndpointSpec(**self.place, transport={"tcp": address}),
            ModelSpec(**self.place, card=card),
        ]
        if self.channel is not None:
            where = {name: self.place[name] for name in ("namespace", "component")}
            transport = ZmqTransport(endpoint=f"tcp://10.0.0.1:{9000 + self.change % 1000}")
            specs.append(
                EventChannelSpec(
                    **where, topic="load", transport=transport, instance_id=self.channel
                )
            )
        return specs


class Workforce:
    """Workers of which one after another does something, unless it is calm."""

    def __init__(self, url: str, ttl_s: float, rng: random.Random, count: int) -> None:
        self.url, self.ttl_s, self.rng, self.count = url, ttl_s, rng, count
        self.workers: list[Worker] = []
        self.done: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    async def come(self) -> None:
        patience = {"connect_timeout_s": PATIENCE_S, "request_timeout_s": PATIENCE_S}
        d = discovery.connect(self.url, lease_ttl_s=self.ttl_s, **patience)
        place, channel = some_place(self.rng), None
        if self.rng.random() < _WITH_CHANNEL:
            channel = self.rng.randrange(1, 1 << 53)
        worker = Worker(await d.__aenter__(), place, channel)
        worker.instances = list(await d.register_all(worker.specs()))
        self.workers.append(worker)
        self.done["came"] += 1

    async def change(self) -> None:
        """Replace all that one has registered, under the same ids."""
        worker = self.rng.choice(self.workers)
        worker.instances = list(await worker.d.register_all(worker.specs()))
        self.done["changed"] += 1

    async def leave(self) -> None:
        """One takes back what it has registered before it closes, or only closes."""
        worker = self.workers.pop(self.rng.randrange(len(self.workers)))
        word = self.rng.choice(("unregistered", "closed"))
        if word == "unregistered":
            for instance in worker.instances:
                await worker.d.unregister(instance)
        await worker.d.__aexit__(None, None, None)
        self.done[word] += 1

    async def churn(self, changes_per_s: float) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(changes_per_s))
            async with self._turn:
                swing = (len(self.workers) - self.count) / self.count
                if abs(swing) >= _SWING:
                    await (self.leave() if swing > 0 else self.come())
                else:
                    await self.rng.choice((self.change, self.change, self.come, self.leave))()

    async def fill(self) -> None:
        """Bring the workers to their number."""
        while len(self.workers) > self.count:
            await self.leave()
        while missing := self.count - len(self.workers):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(missing, _AT_ONCE)):
                    group.create_task(self.come())

    async def be_calm(self) -> None:
        await self._turn.acquire()
        await self.fill()
        gc.collect()  # so that what is sampled then is held
        say(
            facts=facts_of(one for worker in self.workers for one in worker.instances),
            done=self.done,
            failures=[str(it.error) for worker in self.workers for it in worker.d.failures],
        )

    def go_on(self) -> None:
        self._turn.release()


async def main(url: str, ttl_s: float, seed: str, count: int, changes_per_s: float) -> None:
    workforce = Workforce(url, ttl_s, random.Random(seed), count)
    await workforce.fill()
    say(up=count)
    async with running(workforce.churn(changes_per_s)):
        async for (word,) in heard():
            if word == "calm":
                await workforce.be_calm()
            else:
                workforce.go_on()


if __name__ == "__main__":
    asyncio.run(
        main(sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
    )
