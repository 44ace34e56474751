"""What is registered of a program: tried until it works, given back with the reason."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

from discovery.errors import AlreadyExistsError, DiscoveryError
from discovery.events import Cause

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from discovery.client import Discovery
    from discovery.spec import Spec

_PAUSE_S = (0.5, 1.5)
_TTLS_UNTIL_TAKEN = 3  # one, and one more in which a restarted daemon believes no lease's end

T = TypeVar("T")


class Registration:
    """A unit of specs, registered while `hold` runs.

    Args:
        connect: gives a way into the registry.
        specs: to be registered as one unit.
        ttl_s: seconds that they outlive this process when it dies.
        rng: jitters attempts.
        say: tells the operator one line.
    """

    def __init__(
        self,
        connect: Callable[[], Discovery],
        specs: Sequence[Spec],
        *,
        ttl_s: float,
        rng: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self.cause = Cause.UNREGISTERED
        """Why it ends, for those who watch."""
        self.detail: str | None = None
        """Evidence for that."""
        self._connect, self._specs, self._ttl_s = connect, specs, ttl_s
        self._rng, self._say = rng, say

    async def hold(self) -> None:
        """Register, however long that takes, and stay so until cancelled.

        Those who watch are then told `cause` and `detail`. Raises what makes it hopeless.
        """
        async with AsyncExitStack() as stack:
            d = await self._patiently(lambda: stack.enter_async_context(self._connect()))
            try:
                instances = await self._patiently(lambda: d.register_all(self._specs))
                self._say("registered " + ", ".join(str(one.id) for one in instances))
                await asyncio.Event().wait()
            finally:
                await self._give_back(d)

    async def _give_back(self, d: Discovery) -> None:
        try:
            await d.revoke(cause=self.cause, detail=self.detail)
        except DiscoveryError as error:
            self._say(f"it ends with its lease, nobody could be told: {error}")

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what an attempt gives, made again until there is an answer.

        An instance id that is held is most likely our own of a moment ago, whose lease ends soon.
        """
        loop = asyncio.get_running_loop()
        taken_at, is_told = loop.time() + _TTLS_UNTIL_TAKEN * self._ttl_s, False
        while True:
            try:
                return await attempt()
            except DiscoveryError as error:
                is_ours = isinstance(error, AlreadyExistsError) and loop.time() < taken_at
                if not (error.retryable or is_ours):
                    raise
                if not is_told:
                    self._say(f"not registered yet, trying on while the program runs: {error}")
                    is_told = True
            await asyncio.sleep(self._rng.uniform(*_PAUSE_S))
