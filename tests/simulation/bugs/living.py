"""Bugs in leases, in recovery, and in how a daemon follows its store."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from discovery.core import Core
from discovery.errors import LeaseExpiredError
from discovery.holding import Holding
from discovery.lease import LeaseTable
from discovery.recovery import Recovery
from discovery.registrations import Registrations
from discovery.registry import Granted, Registry
from discovery.replica import Replica
from discovery.service import Service
from discovery.session import Session
from discovery.store import Change, CompactedError
from discovery.stores.history import HistoryWatch
from discovery.stores.memory import MemoryStore
from tests.simulation.bugs.planting import naming

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

BUGS: dict[str, Plant] = {}
bug = naming(BUGS)


# ---- leases


@bug("lease renewed after its end")
def _(patch: Patch) -> None:
    known: dict[str, Granted] = {}

    async def keep_alive(original: Any, self: Registry, instance_id: int, token: str) -> Any:
        try:
            known[token] = await original(self, instance_id, token)
        except LeaseExpiredError:
            if token not in known:
                raise
        return known[token]

    patch.around(Registry, "_try_keep_alive", keep_alive)


@bug("lease ends early")
def _(patch: Patch) -> None:
    def renew(original: Any, self: LeaseTable, lease_id: int, now: float) -> Any:
        ttl_s = original(self, lease_id, now)
        if ttl_s is not None:
            self._deadline[lease_id] -= 0.7 * ttl_s
        return ttl_s

    patch.around(LeaseTable, "renew", renew)


@bug("a lease's end leaves a record")
def _(patch: Patch) -> None:
    def delete(original: Any, self: MemoryStore, lease_id: int, *why: Any) -> Any:
        keys = sorted(self._keys_of[lease_id])
        self._keys_of[lease_id].discard(keys[-1] if keys else "")
        return original(self, lease_id, *why)

    patch.around(MemoryStore, "_delete_keys_of", delete)


@bug("a lease ends in pieces")
def _(patch: Patch) -> None:
    def delete(_: Any, self: MemoryStore, lease_id: int, *why: Any) -> int:
        for key in sorted(self._keys_of.pop(lease_id)):
            self._tree.delete(key)
            self._history.append([Change(key, None, *why)])
        return self._history.revision

    patch.around(MemoryStore, "_delete_keys_of", delete)


@bug("renewed too seldom")
def _(patch: Patch) -> None:
    def renewed(original: Any, self: Holding, renew_s: float, now: float) -> None:
        original(self, renew_s * 3.3, now)

    patch.around(Holding, "renewed", renewed)


@bug("nothing registered again after a loss")
def _(patch: Patch) -> None:
    def begin(original: Any, self: Registrations) -> None:
        owned, self._owned = self._owned, {}
        original(self)
        self._owned = owned

    patch.around(Registrations, "begin_anew", begin)


@bug("a loss of the lease is not believed")
def _(patch: Patch) -> None:
    def lose(_: Any, self: Session, now: float) -> None:
        self._lease.retry_later(now)

    patch.around(Session, "_lose", lose)


# ---- recovery


@bug("recovery off")
def _(patch: Patch) -> None:
    patch.always(Recovery, "is_on", value=False)


@bug("a pause of the daemon unnoticed")
def _(patch: Patch) -> None:
    patch.always(Core, "_notice_pauses", None)


@bug("a pause of the store unnoticed")
def _(patch: Patch) -> None:
    patch.always(LeaseTable, "renew_all", None)


@bug("doubt not told")
def _(patch: Patch) -> None:
    patch.always(Core, "_is_doubtful", value=False)


# ---- watching the store


@bug("the store's watch skips a revision")
def _(patch: Patch) -> None:
    def ready(original: Any, self: HistoryWatch) -> Any:
        batches = original(self)
        return batches[1:] if len(batches) > 1 else batches

    patch.around(HistoryWatch, "ready", ready)


@bug("a list does not wait")
def _(patch: Patch) -> None:
    async def catch_up(_original: Any, _self: Service, _revision: int) -> None:
        """Not at all."""

    patch.around(Service, "_catch_up", catch_up)


# ---- found by these worlds


@bug("a revision of an epoch that is gone is waited for")
def _(patch: Patch) -> None:
    async def sync(
        original: Any, self: Service, codec: Any, fields: Any, *rest: Any, **how: Any
    ) -> Any:
        if fields.has("epoch"):
            fields._left["epoch"] = None
        return await original(self, codec, fields, *rest, **how)

    patch.around(Service, "_sync", sync)


@bug("a store that is away ends the daemon")
def _(patch: Patch) -> None:
    async def follow(_: Any, self: Replica) -> None:
        while True:
            with suppress(CompactedError):
                await self._follow_from_snapshot()

    patch.around(Replica, "_follow", follow)
