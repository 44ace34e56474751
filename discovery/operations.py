"""What an operator may do to the records of any process: remove one, or drain all of a process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from discovery.errors import NotFoundError
from discovery.events import Cause
from discovery.keys import PENDING_PREFIX
from discovery.registry import in_parts
from discovery.store import AtRevision, Delete, Put
from discovery.unit import keys_of

if TYPE_CHECKING:
    from discovery.ids import InstanceId
    from discovery.registry import Registry
    from discovery.replica import Replica


class Operations:
    """Administration of one registry. No token is asked for: who may do it is for the transport."""

    def __init__(self, registry: Registry, replica: Replica) -> None:
        self._registry, self._replica = registry, replica

    async def remove(self, instance_id: InstanceId) -> int:
        """Delete the record of an id, whoever registered it; return the revision of that.

        Its owner, if it lives, is not told, and puts it back when it next has to register again.
        Raises `NotFoundError` when there is none.
        """
        return await self._registry.persist(partial(self._try_remove, instance_id))

    async def drain(self, instance_id: int) -> int:
        """Delete all records of a process and refuse new ones; return how many it had.

        A hundred go at once. It keeps its lease, and is told with the next renewal. Its next lease
        is a fresh start. Raises `NotFoundError` when the process holds no lease.
        """
        drained: list[str] = []
        async with self._registry.turns.of(instance_id):
            await self._registry.persist(partial(self._try_drain, instance_id, drained))
        return len(drained)

    async def _try_remove(self, instance_id: InstanceId) -> int:
        entries = [self._replica.mirror.get(key) for key in keys_of(instance_id)]
        found = [entry for entry in entries if entry]
        if not found:
            raise NotFoundError(f"{instance_id}: not registered")
        revision = 0
        for entry in found:  # one by one: of two generations each may have an owner of its own
            guard = AtRevision(entry.key, entry.revision)
            revision = await self._registry.commit([Delete(entry.key, Cause.REVOKED)], [guard])
        return revision

    async def _try_drain(self, instance_id: int, drained: list[str]) -> int:
        found = self._registry.sessions.find(instance_id)
        if found is None:
            raise NotFoundError(f"process {instance_id:x}: holds no lease")
        entry, record = found
        put = Put(entry.key, replace(record, is_draining=True).encode(), entry.lease)
        keys = list(self._replica.mirror.keys_of(instance_id))
        deletes = [Delete(held, Cause.REVOKED) for held in keys]
        guard = AtRevision(entry.key, entry.revision)
        first, *others = in_parts(deletes)
        revision = await self._registry.commit([put, *first], [guard])
        guard = AtRevision(entry.key, revision)  # from here on it registers nothing
        for part in others:
            revision = await self._registry.commit(part, [guard])
        drained[:] = [held for held in keys if not held.startswith(PENDING_PREFIX)]
        return revision
