"""What a daemon tells operators about itself, its leases and its watchers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.bookkeys import CATALOG
from discovery.names import BOOKS, Kind
from discovery.session_record import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.replica import Replica
    from discovery.store import Store
    from discovery.watchers import Watchers

_MOST_UNREADABLE = 100


class Reports:
    """Read off a replica and the list of watchers; times in seconds on the daemon's clock."""

    def __init__(self, store: Store, replica: Replica, watchers: Watchers) -> None:
        self._store, self._replica, self._watchers = store, replica, watchers

    def status(self, now: float) -> Mapping[str, object]:
        """Return where the registry stands, and how much is in it."""
        mirror = self._replica.mirror
        counts: dict[str, int] = {}
        for scope, count in mirror.counts().items():
            if scope[0] in BOOKS:  # whose they are is not for everybody
                continue
            counts[scope[0]] = counts.get(scope[0], 0) + count
        return {
            "epoch": self._store.epoch,
            "revision": mirror.revision,
            "records": counts,
            "processes": sum(1 for _ in mirror.sessions()),
            "watchers": len(self._watchers.now(now)),
            "unreadable": dict(sorted(mirror.unreadable.items())[:_MOST_UNREADABLE]),
            "store_age_s": self._store.age_s(),
        }

    async def backend(self) -> Mapping[str, object]:
        """Return how the system is that keeps the records, `{}` if that is this process.

        `foreign` counts records that were not registered through this system.
        """
        report = await self._store.report()
        if not report:
            return {}
        mirror = self._replica.mirror
        sessions = {entry.lease for entry in mirror.sessions()}
        foreign = sum(
            1
            for kind in Kind
            for entry in mirror.under((kind.value,))
            if entry.lease not in sessions
        )
        return {"backend": {**report, "divergences": self._replica.divergences, "foreign": foreign}}

    def watchers(self, now: float) -> Sequence[Mapping[str, object]]:
        """Return who watches what, as heard lately; not whose part of the catalog."""
        return [
            {
                "client": watcher.client,
                "scope": [CATALOG] if watcher.scope[0] == CATALOG else list(watcher.scope),
                "revision": watcher.revision,
                "seen_s_ago": now - watcher.seen_at,
            }
            for watcher in self._watchers.now(now)
        ]

    def leases(self, _: float) -> Sequence[Mapping[str, object]]:
        """Return the processes that hold a lease."""
        mirror = self._replica.mirror
        found = (
            (entry, SessionRecord.decode(entry.key, entry.value)) for entry in mirror.sessions()
        )
        return [
            {
                "id": f"{entry.lease or 0:x}",
                "records": len(mirror.keys_of(entry.lease or 0)),
                "ttl_s": record.ttl_s,
                "draining": record.is_draining,
            }
            for entry, record in found
        ]
