"""A memory store that cannot guard its commits, and whose calls take time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError
from discovery.stores.memory import MemoryStore

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from discovery.store import Guard, Op, Snapshot


class GuardlessMemoryStore(MemoryStore):
    """What the registry must do without guards, it does under `pending/`."""

    has_guards = False

    def __init__(self, *, history_revisions: int, rng: random.Random) -> None:
        super().__init__(history_revisions=history_revisions, rng=rng)
        self._rng = rng

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        if guards:
            raise InvalidArgumentError("this store has no guards")
        await self._linger()
        return await super().commit(ops)

    async def snapshot(self, prefix: str) -> Snapshot:
        await self._linger()
        return await super().snapshot(prefix)

    async def _linger(self) -> None:
        """Take the time of a request, so that others get in between."""
        await asyncio.sleep(self._rng.uniform(0.0, 0.02))
