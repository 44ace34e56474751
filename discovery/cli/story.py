"""The story that `discoveryctl demo` tells: each claim is checked against what a router says."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from discovery.cli.narrator import Narrator
    from discovery.cli.stage import Actor, Stage

_MODEL: Final = "qwen3-0.6b"
_OTHER_MODEL: Final = "llama-3.2-1b"
_PATIENCE_S = 10.0  # with a claim
_LIMIT_S = 28.0  # for all of it
_LATE_S = 2.0  # the lease's end is noticed and told a moment later, on a busy machine too
_LOOK_S = 0.1


class ClaimFailedError(Exception):
    """What the demo claims is not so."""


class Story:
    """A daemon, its workers and a router, in six scenes.

    Args:
        stage: where the processes run.
        narrator: tells what happens.
    """

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage = stage
        self._tell = narrator
        self._workers: dict[str, Actor] = {}
        self._refused = ""
        self._ends_at = 0.0

    async def play(self) -> None:
        """Play all scenes. Raises `ClaimFailedError` at the first claim that is not so."""
        self._ends_at = asyncio.get_running_loop().time() + _LIMIT_S
        await self._begin()
        await self._register()
        await self._refuse()
        await self._kill()
        await self._restart()
        await self._stop()

    async def _begin(self) -> None:
        self._tell.scene("A daemon and a router")
        async with self._claim("discoveryd starts, and needs nothing else to run"):
            self._daemon = await self._stage.daemon()
            self._tell.line("discoveryd", f"takes requests at {self._stage.url}")
        self._router = await self._stage.router()
        async with self._claim("a router is synced even when nothing is registered"):
            synced = (await self._router.hear("synced"))["synced"]
            self._tell.line("router", f"synced: {synced} models")
            _expect(synced == 0, f"its first view has {synced} models")

    async def _register(self) -> None:
        self._tell.scene("Three workers with the same model, each with a lease of its own")
        async with self._claim("the router's view is what the three workers registered"):
            for worker in [await self._stage.worker(_MODEL) for _ in range(3)]:
                registered = (await worker.hear("registered"))["registered"]
                self._tell.line("worker", f"registered {registered}")
                self._workers[registered] = worker
            for _ in self._workers:
                added = await self._router.hear("added")
                self._tell.line("router", f"+ {added['added']} {added['model']}")
            await self._expect_view()

    async def _refuse(self) -> None:
        self._tell.scene("A worker with another model comes to the same endpoint")
        async with self._claim("a model that conflicts is refused"):
            worker = await self._stage.worker(_OTHER_MODEL)
            said = await worker.hear("refused", "registered")
            self._tell.line("worker", said.get("why", f"registered {said.get('registered')}"))
            _expect("refused" in said, f"{_OTHER_MODEL} was registered beside {_MODEL}")
            self._refused = said["refused"]
        async with self._claim("the router's view has not changed"):
            await self._expect_view()

    async def _kill(self) -> None:
        ttl_s, loop = self._stage.ttl_s, asyncio.get_running_loop()
        self._tell.scene(f"A worker is killed with SIGKILL; its lease is {ttl_s:g} s")
        async with self._claim("the router removes it when its lease has ended, and only it"):
            victim, worker = self._workers.popitem()
            self._tell.line("worker", f"process {worker.process.pid} killed")
            killed_at = loop.time()
            worker.send(signal.SIGKILL)
            removed = await self._router.hear("removed")
            took_s = loop.time() - killed_at
            self._tell.line("router", f"- {removed['removed']} {removed['cause']}, {took_s:.1f} s")
            _expect(removed["removed"] == victim, f"expected {victim} to be removed")
            _expect(removed["cause"] == "lease_expired", "expected the cause lease_expired")
            _expect(took_s <= ttl_s + _LATE_S, f"expected it within {ttl_s + _LATE_S:g} s")
            await self._expect_view()

    async def _restart(self) -> None:
        self._tell.scene("The daemon is killed and started again; all it knew was in its memory")
        async with self._claim("the router's view stays right, at every look, and is proven anew"):
            before = (await self._router.view())["epoch"]
            self._daemon.send(signal.SIGKILL)
            await self._daemon.process.wait()
            self._tell.line("discoveryd", f"process {self._daemon.process.pid} killed")
            await self._expect_view()
            self._daemon = await self._stage.daemon()
            self._tell.line(
                "discoveryd", f"process {self._daemon.process.pid} started, knows nothing"
            )
            await self._until_proven_after(before)
        async with self._claim("no worker was removed, not even for a moment"):
            removed = [said["removed"] for said in self._router.said if "removed" in said]
            _expect(len(removed) == 1, f"the router removed {removed[1:]}")

    async def _until_proven_after(self, epoch: str) -> None:
        """Look at the router's view until it is that of another daemon's life, and sure of it."""
        last = None
        while last != "live":
            seen = await self._expect_view()
            state = seen["state"] if seen["epoch"] != epoch else "without a daemon"
            if state != last:
                self._tell.line("router", f"{len(seen['view'])} models, {state}")
                last = state
            await asyncio.sleep(_LOOK_S)

    async def _stop(self) -> None:
        self._tell.scene("A new worker comes, an old one is told to stop")
        async with self._claim("the router sees both, without waiting for a lease's end"):
            worker = await self._stage.worker(_MODEL)
            self._workers[(await worker.hear("registered"))["registered"]] = worker
            added = await self._router.hear("added")
            self._tell.line("router", f"+ {added['added']} {added['model']}")
            leaving = next(iter(self._workers))
            self._workers.pop(leaving).send(signal.SIGTERM)
            removed = await self._router.hear("removed")
            self._tell.line("router", f"- {removed['removed']} {removed['cause']}")
            _expect(removed["removed"] == leaving, f"expected {leaving} to be removed")
            _expect(removed["cause"] == "unregistered", "expected the cause unregistered")
            await self._expect_view()
        async with self._claim("from first to last it never saw the model that was refused"):
            seen = any(self._refused in said.values() for said in self._router.said)
            _expect(not seen, f"it saw {self._refused}")

    async def _expect_view(self) -> dict[str, Any]:
        expected = sorted(self._workers)
        seen = await self._router.view()
        _expect(seen["view"] == expected, f"expected {expected}, the view is {seen['view']}")
        return seen

    @asynccontextmanager
    async def _claim(self, claim: str) -> AsyncGenerator[None]:
        """Check a claim within the block, for a limited time, and tell how that ended."""
        begun_at = asyncio.get_running_loop().time()
        until = min(begun_at + _PATIENCE_S, self._ends_at)
        try:
            async with asyncio.timeout_at(until):
                yield
        except TimeoutError:
            why = f"not so within {until - begun_at:.1f} s"
        except (_NotSoError, EOFError) as error:
            why = str(error)
        else:
            self._tell.holds(claim)
            return
        self._tell.fails(claim, why, self._stage.errors())
        raise ClaimFailedError(claim)


class _NotSoError(Exception):
    pass


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise _NotSoError(otherwise)
