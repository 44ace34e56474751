"""Many watch streams in one process, some of which are opened and closed all the time.

usage: python -m tests.soak.routers URL SEED STREAMS

Told `calm` it opens and closes none until told `go`. Told `compare FILE REVISION` it says how its
views differ from the facts in the file, once they have come to that revision.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import discovery
from discovery import Removed, StreamState
from tests.soak.facts import asked_for, differences, facts_of
from tests.soak.places import some_query
from tests.soak.talk import PATIENCE_S, heard, say
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from discovery import Discovery, Instance, InstanceId, WatchStream

_STREAMS_A_CONNECTION = 5
_PASSING = 5  # one of so many streams is opened and closed all the time
_LONGEST_STAY_S = 10.0
_SLOW = 0.2  # of the streams' readers stop now and then, so that what they are told is coalesced


class Listener:
    """One stream, and what its reader was told."""

    def __init__(self, stream: WatchStream, rng: random.Random, done: Counter[str]) -> None:
        self.stream, self.rng, self.done = stream, rng, done
        self.told: dict[InstanceId, Instance] = {}
        self.wrong: list[str] = []
        self.is_slow = rng.random() < _SLOW
        self.has_read_all = asyncio.Event()

    async def listen(self) -> None:
        """What a router is told adds up: nothing comes twice, nothing goes that was not there."""
        events = aiter(self.stream)
        while True:
            self.has_read_all.set()  # which others see only while there is nothing to read
            event = await anext(events)
            self.has_read_all.clear()
            self.done["events"] += 1
            if isinstance(event, Removed):
                self.done[f"removed: {event.cause}"] += 1
                is_right = self.told.pop(event.id, None) is not None
            else:
                before = self.told.get(event.instance.id)
                is_right = event.is_update == (before is not None) and before != event.instance
                self.told[event.instance.id] = event.instance
            if not is_right:
                self.wrong.append(f"{self.stream.query} was told {event}")
            if self.is_slow and self.rng.random() < 0.01:
                await asyncio.sleep(self.rng.random())

    async def _at_rest(self, revision: int) -> None:
        """Wait until nothing is held back from the view, and all that it led to has been read."""
        await self.stream.reached(revision)
        while self.stream.state is not StreamState.LIVE:
            await self.stream.changed()
        await asyncio.sleep(0)  # the reader was woken in the same turn as we
        while not self.has_read_all.is_set():
            await self.has_read_all.wait()

    async def compare(self, facts: Mapping[str, str], revision: int) -> list[str]:
        """Tell how its view differs from what is stored, at that revision or later."""
        name = f"the view of {self.stream.query}"
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._at_rest(revision)
        except TimeoutError:
            at = f"{self.stream.revision}, {self.stream.state}"
            return [f"{name} does not come to revision {revision}: it is at {at}"]
        found = self.stream.instances
        told = [] if self.told == found else [f"{name} is not what its events add up to"]
        right = asked_for(self.stream.query, facts)
        return differences(name, right, facts_of(found.values())) + told + self.wrong


class Routers:
    """Streams that stay and streams that pass."""

    def __init__(self, url: str, rng: random.Random, count: int) -> None:
        self.url, self.rng, self.count = url, rng, count
        self.listeners: set[Listener] = set()
        self.done: Counter[str] = Counter()
        self.connections: list[Discovery] = []
        self._calm, self._go = asyncio.Event(), asyncio.Event()
        self._resting = asyncio.Semaphore(0)

    @property
    def passing(self) -> int:
        return self.count // _PASSING

    async def open_all(self, stack: AsyncExitStack) -> None:
        staying = self.count - self.passing
        for number in range(staying):
            if number % _STREAMS_A_CONNECTION == 0:
                d = await stack.enter_async_context(self.connect())
                self.connections.append(d)
            await stack.enter_async_context(self.listener(self.connections[-1]))

    def connect(self) -> Discovery:
        return discovery.connect(
            self.url, connect_timeout_s=PATIENCE_S, request_timeout_s=PATIENCE_S
        )

    @asynccontextmanager
    async def listener(self, d: Discovery) -> AsyncGenerator[Listener]:
        async with d.watch(some_query(self.rng)) as stream:
            await stream.synced()
            self.done["streams opened"] += 1
            one = Listener(stream, self.rng, self.done)
            async with running(one.listen()):
                self.listeners.add(one)
                try:
                    yield one
                finally:
                    self.listeners.remove(one)

    async def pass_by(self, *, has_connection: bool) -> None:
        """Open a stream, stay, close it, over and over; while it is calm, stay."""
        while True:
            async with AsyncExitStack() as stack:
                if has_connection:
                    d = await stack.enter_async_context(self.connect())
                else:
                    d = self.rng.choice(self.connections)
                one = await stack.enter_async_context(self.listener(d))
                await self._stay(self.rng.uniform(0.0, _LONGEST_STAY_S))
                assert not one.wrong, one.wrong

    async def _stay(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._calm.wait()
        except TimeoutError:
            return
        self._resting.release()
        await self._go.wait()

    async def be_calm(self) -> None:
        self._go.clear()
        self._calm.set()
        for _ in range(self.passing):
            await self._resting.acquire()
        gc.collect()  # so that what is sampled then is held
        say(streams=len(self.listeners), done=self.done)

    def go_on(self) -> None:
        self._calm.clear()
        self._go.set()

    async def compare(self, file: str, revision: int) -> None:
        facts = json.loads(await asyncio.to_thread(Path(file).read_text))
        told = [line for one in self.listeners for line in await one.compare(facts, revision)]
        say(compared=len(self.listeners), differences=told)


async def main(url: str, seed: str, count: int) -> None:
    routers = Routers(url, random.Random(seed), count)
    async with AsyncExitStack() as stack:
        await routers.open_all(stack)
        passing = [routers.pass_by(has_connection=n % 2 == 0) for n in range(routers.passing)]
        await stack.enter_async_context(running(*passing))
        say(up=count)
        async for word, *arguments in heard():
            if word == "calm":
                await routers.be_calm()
            elif word == "compare":
                await routers.compare(arguments[0], int(arguments[1]))
            else:
                routers.go_on()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
