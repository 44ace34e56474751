"""Deciding on a mirror of the store, and being right all the same when others decide too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from discovery.errors import (
    AlreadyExistsError,
    DiscoveryError,
    LeaseExpiredError,
    ModelConflictError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from discovery.mirror import RefusedOnMirrorError
from discovery.store import GuardFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from discovery.replica import Replica
    from discovery.store import Store

_ATTEMPTS = 64  # each lost to somebody else's progress on the same endpoint or session
_CATCH_UP_S = 1.0  # below a client's request timeout, so that it gets an answer, not a silence

T = TypeVar("T")


class Decider:
    """Repeats a decision until nobody got in between it and its writing.

    Guards see to it that what is written was decided on the truth. A refusal writes nothing: it is
    given only once the mirror has all that was committed before the request came, since another
    daemon may have committed what makes it false.
    """

    def __init__(self, store: Store, replica: Replica) -> None:
        self._store, self._replica = store, replica
        self._refusals: tuple[type[DiscoveryError], ...] = (
            AlreadyExistsError,
            LeaseExpiredError,
            NotFoundError,
            PermissionDeniedError,
            RefusedOnMirrorError,
        )
        if store.has_guards:  # else models are decided on the store itself
            self._refusals += (ModelConflictError,)

    async def decide(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, which decides on the mirror and then writes.

        Raises what it raises, and `UnavailableError` when others are always faster.
        """
        is_fresh = False
        for _ in range(_ATTEMPTS):
            self._replica.drain()
            try:
                return await attempt()
            except GuardFailedError:
                pass
            except self._refusals:
                if is_fresh:
                    raise
            await self._catch_up()
            is_fresh = True
        raise UnavailableError(f"lost {_ATTEMPTS} times to others on the same records; try again")

    async def _catch_up(self) -> None:
        """Wait until the mirror has all that is committed by now."""
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await self._replica.reached(await self._store.commit([]))
        except TimeoutError:
            why = f"this daemon could not catch up with its store within {_CATCH_UP_S:g} s"
            raise UnavailableError(why) from None
