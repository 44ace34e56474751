"""What goes from a cache when there is too much in it, and what stays."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from discovery.artifacts.installing import drop
from discovery.artifacts.lock import locked, locked_if_free
from discovery.artifacts.recovering import live_uses
from discovery.artifacts.report import inspect_entries, inspect_entry
from discovery.artifacts.usage import Usage
from discovery.errors import ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from discovery.artifacts.layout import Layout
    from discovery.artifacts.report import CacheReport
    from discovery.artifacts.stopping import Stop

_ROOM: Final = ".room"  # the lock of those who install into a budget; no entry is called so


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much may be in a cache, and what goes first when there is too much.

    Attributes:
        budget_bytes: of all entries together.
        usage: says what is in use now. It is asked whenever something must go, and no earlier: a
            pull may last for hours.
    """

    budget_bytes: int
    usage: Callable[[], Usage] = Usage


class RoomMaker:
    """Keeps a cache within its room. All of it blocks, and raises `OSError`."""

    def __init__(self, layout: Layout, room: Room, now_ms: Callable[[], int]) -> None:
        self._layout, self._room, self._now_ms = layout, room, now_ms

    def make(self, name: str, size: int) -> None:
        """Make room for `size` bytes in place of an entry, or remove nothing.

        Raises `ResourceExhaustedError` when it does not fit.
        """
        needed = size - inspect_entry(self._layout, name).footprint_bytes
        reports = inspect_entries(self._layout)
        if self._excess(reports, needed) <= 0:
            return
        usage = self._room.usage()
        usage = replace(usage, kept={*usage.kept, name})
        reports = inspect_entries(self._layout)
        staying = [report for report in reports if not self._may_go(report.name, usage)]
        self._check_fits(name, staying, needed, "what is in use stays")
        self._evict(reports, usage, needed)
        left = inspect_entries(self._layout)
        self._check_fits(name, left, needed, "others are at work on what could go")

    @contextmanager
    def held(self, name: str, size: int, stop: Stop) -> Generator[None]:
        """Have room while the block installs: others may have taken it since it was made."""
        with locked(self._layout.root, _ROOM, stop):
            self.make(name, size)
            yield

    def evict(self) -> Sequence[CacheReport]:
        """Remove what was not used for longest until the rest fits; return what went."""
        if self._excess(inspect_entries(self._layout), 0) <= 0:
            return []
        usage = self._room.usage()
        return self._evict(inspect_entries(self._layout), usage, 0)

    # ---- inside

    def _excess(self, reports: Sequence[CacheReport], needed: int) -> int:
        """Return by how many bytes there would be too much."""
        return sum(r.footprint_bytes for r in reports) + needed - self._room.budget_bytes

    def _check_fits(self, name: str, staying: Sequence[CacheReport], needed: int, why: str) -> None:
        budget = self._room.budget_bytes
        excess = self._excess(staying, needed)
        if excess > 0:
            raise ResourceExhaustedError(
                f"model {name}: {budget + excess} bytes would be in cache {self._layout.root}, as "
                f"{why}; its budget is {budget}"
            )

    def _evict(
        self, reports: Sequence[CacheReport], usage: Usage, needed: int
    ) -> Sequence[CacheReport]:
        """Remove entries until there is room for `needed` bytes more."""
        excess = self._excess(reports, needed)
        rank = {name: index for index, name in enumerate(usage.order)}
        gone: list[CacheReport] = []
        for report in sorted(reports, key=lambda r: (rank.get(r.name, -1), _age(r))):
            if excess <= 0:
                break
            if self._may_go(report.name, usage) and self._evicted(report.name):
                excess -= report.footprint_bytes
                gone.append(report)
        return gone

    def _may_go(self, name: str, usage: Usage) -> bool:
        return name not in usage.kept and not live_uses(self._layout.uses(name))

    def _evicted(self, name: str) -> bool:
        """Remove an entry that nobody is at or has begun to use; say whether it went."""
        with locked_if_free(self._layout.root, name) as held:
            if held is None or live_uses(self._layout.uses(name)):
                return False
            return drop(self._layout, held, name, self._now_ms)


def _age(report: CacheReport) -> int:
    return report.manifest.installed_at_unix_ms if report.manifest else 0
