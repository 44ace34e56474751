"""The cache of one node, or of a disk that several share: pull, inspect, drop, use, make room."""

from __future__ import annotations

import errno
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from discovery.artifacts.copying import Delivery
from discovery.artifacts.entry import check_entry
from discovery.artifacts.installing import drop, install
from discovery.artifacts.layout import Layout
from discovery.artifacts.local import io_error
from discovery.artifacts.lock import locked, locked_if_free
from discovery.artifacts.marks import Mark, touched
from discovery.artifacts.recovering import live_uses, recover, recover_entry
from discovery.artifacts.stamping import read_stamp
from discovery.artifacts.stopping import Progress, never
from discovery.artifacts.tree import UnhealthyError, check_bytes, checked, footprint_bytes, remove
from discovery.clock import now_ms as clock_ms
from discovery.errors import ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping, Sequence
    from pathlib import Path

    from discovery.artifacts.manifest import Described, Manifest
    from discovery.artifacts.source import Listing, Source
    from discovery.artifacts.stopping import Stop

_ROOM: Final = ".room"  # the lock of those who install into a budget; no entry is called so


class CacheStatus(StrEnum):
    """How the files of a model are."""

    MISSING = "missing"
    UNHEALTHY = "unhealthy"
    INSTALLED = "installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """How a model is in a cache.

    Attributes:
        name: the entry.
        status: `missing`, `unhealthy` or `installed`.
        path: the folder of its files.
        footprint_bytes: of what is installed the sum of its files, else of all there is.
        manifest: what is installed, as far as that can be read.
        detail: what is unhealthy, None otherwise.
        stamp: what became of it on this node, and when: `status`, `updated_at_unix_ms`, and while
            it is installed `cache_dir`, `installed_at_unix_ms` and `cache_size_bytes`.
    """

    name: str
    status: CacheStatus
    path: Path
    footprint_bytes: int
    manifest: Manifest | None
    detail: str | None
    stamp: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much may be in a cache, and what goes first when there is too much.

    Attributes:
        budget_bytes: of all entries together.
        order: entries, the one that was not used for longest first; others go before these.
        kept: entries that are in use, whatever else says so.
    """

    budget_bytes: int
    order: Sequence[str] = ()
    kept: Collection[str] = ()


class Cache:
    """A cache of models' files. All of it blocks.

    Args:
        root: its folder, which is made. What was left there by whoever was killed is put right.
        now_ms: Unix time in ms.

    Raises, beside what each method says: `InvalidArgumentError` for a name that is none, and
    `InternalError` for trouble with files, which says what and where.
    """

    def __init__(self, root: Path, *, now_ms: Callable[[], int] = clock_ms) -> None:
        self._now_ms = now_ms
        try:
            self._layout = Layout(root)
            recover(self._layout, now_ms())
        except OSError as error:
            raise io_error(f"cache root {root}", error) from error

    @property
    def root(self) -> Path:
        """Its folder, without links."""
        return self._layout.root

    def pull(
        self,
        described: Described,
        source: Source,
        *,
        is_wanted: Callable[[CacheReport], bool] | None = None,
        room: Room | None = None,
        progress: Progress | None = None,
        stop: Stop = never,
    ) -> Manifest:
        """Install a model from a source in place of what is there; return what is installed.

        Whoever installs or drops the same model is waited for. Nothing changes if this fails.

        Args:
            described: what is said of it; its `source` and `revision` are those of the source.
            source: where its files are.
            is_wanted: is told what there is when nobody else is at it; False keeps what is
                installed.
            room: what must go before; None sets no limit.
            progress: is told how far this has got.
            stop: ends it, with `StoppedError`.

        Raises `ResourceExhaustedError` when there is not enough room, and what the source raises.
        """
        name, progress = check_entry(described.name), progress or Progress()
        try:
            with locked(self.root, name, stop, lambda who: progress.begin("waiting", who)) as held:
                recover_entry(self._layout, name, self._now_ms())
                report = self._report(name)
                is_kept = is_wanted is not None and not is_wanted(report)
                if is_kept and report.status is CacheStatus.INSTALLED and report.manifest:
                    return report.manifest
                progress.begin("listing")
                listing = source.list()
                self._make_room(name, listing, room)
                self._check_space(name, listing)
                described = replace(
                    described, name=name, source=source.url, revision=listing.revision
                )
                delivery = Delivery(source, listing, progress, stop)
                has_room = self._has_room(name, listing, room, stop)
                manifest = install(self._layout, held, described, delivery, self._now_ms, has_room)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                remove(self._layout.partial(name))
            raise io_error(f"model {name}: not installed", error) from error
        progress.begin("done")
        return manifest

    def inspect(self, name: str, *, is_deep: bool = False, stop: Stop = never) -> CacheReport:
        """Say how a model is; `is_deep` reads all its files, and compares their hashes."""
        name = check_entry(name)
        try:
            report = self._report(name)
            if is_deep and report.status is CacheStatus.INSTALLED and report.manifest:
                check_bytes(report.path, report.manifest, stop.check)
        except UnhealthyError as error:
            return self._unhealthy(name, error)
        except OSError as error:
            raise io_error(f"model {name}: not inspected", error) from error
        return report

    def drop(self, name: str, *, stop: Stop = never) -> bool:
        """Remove a model's files; say whether there were any."""
        name = check_entry(name)
        try:
            with locked(self.root, name, stop) as held:
                recover_entry(self._layout, name, self._now_ms())
                return drop(self._layout, held, name, self._now_ms)
        except OSError as error:
            raise io_error(f"model {name}: not dropped", error) from error

    def list(self) -> Sequence[CacheReport]:
        """Say how all models are, in the order of their names."""
        try:
            return [self._report(name) for name in self._layout.entries()]
        except OSError as error:
            raise io_error(f"cache {self.root}", error) from error

    @contextmanager
    def used(self, name: str, stop: Stop = never) -> Generator[CacheReport]:
        """Keep what is installed from being evicted while the block runs, and say how it is."""
        name = check_entry(name)
        with ExitStack() as stack:
            try:
                with locked(self.root, name, stop):
                    mark = Mark(self._layout.uses(name))
                    use = mark.path.rename(mark.path.with_name(mark.token))
                    stack.callback(use.unlink, missing_ok=True)
                    report = self._report(name)
            except OSError as error:
                raise io_error(f"model {name}: not used", error) from error
            stack.enter_context(touched(use))
            yield report

    def evict(self, room: Room) -> Sequence[CacheReport]:
        """Remove what was not used for longest until all that is there fits; return what went.

        What is in use stays, and may be more than fits.
        """
        try:
            return self._evict(room, 0)
        except OSError as error:
            raise io_error(f"cache {self.root}", error) from error

    # ---- inside

    def _report(self, name: str) -> CacheReport:
        path = self._layout.entry(name)
        if not path.exists() and not path.is_symlink():
            return self._told(name, CacheStatus.MISSING, 0, None, None)
        try:
            manifest = checked(path)
        except UnhealthyError as error:
            return self._unhealthy(name, error)
        return self._told(name, CacheStatus.INSTALLED, manifest.total_size_bytes, manifest, None)

    def _unhealthy(self, name: str, error: UnhealthyError) -> CacheReport:
        size = footprint_bytes(self._layout.entry(name))
        return self._told(name, CacheStatus.UNHEALTHY, size, error.manifest, str(error))

    def _told(
        self,
        name: str,
        status: CacheStatus,
        footprint: int,
        manifest: Manifest | None,
        detail: str | None,
    ) -> CacheReport:
        return CacheReport(
            name=name,
            status=status,
            path=self._layout.entry(name),
            footprint_bytes=footprint,
            manifest=manifest,
            detail=detail,
            stamp=read_stamp(self._layout, name),
        )

    def _make_room(self, name: str, listing: Listing, room: Room | None) -> None:
        """Make room for what comes in place of an entry, or remove nothing."""
        if room is None:
            return
        needed = listing.total_bytes - self._report(name).footprint_bytes
        room = replace(room, kept={*room.kept, name})
        staying = [report for report in self.list() if not self._may_go(report.name, room)]
        self._check_fits(name, staying, needed, room, "what is in use stays")
        self._evict(room, needed)
        self._check_fits(name, self.list(), needed, room, "others are at work on what could go")

    def _check_fits(
        self, name: str, staying: Sequence[CacheReport], needed: int, room: Room, why: str
    ) -> None:
        least = sum(report.footprint_bytes for report in staying) + needed
        if least > room.budget_bytes:
            raise ResourceExhaustedError(
                f"model {name}: {least} bytes would be in cache {self.root}, as {why}; its budget "
                f"is {room.budget_bytes}"
            )

    @contextmanager
    def _has_room(
        self, name: str, listing: Listing, room: Room | None, stop: Stop
    ) -> Generator[None]:
        """Have room while the block installs: others may have taken it since it was made."""
        if room is None:
            yield
            return
        with locked(self.root, _ROOM, stop):
            self._make_room(name, listing, room)
            yield

    def _check_space(self, name: str, listing: Listing) -> None:
        here = footprint_bytes(self._layout.partial(name))
        free, missing = shutil.disk_usage(self.root).free, listing.total_bytes - here
        if missing > free:
            raise ResourceExhaustedError(
                f"model {name}: needs {missing} bytes more, and {self.root} has {free} free"
            )

    def _evict(self, room: Room, needed: int) -> Sequence[CacheReport]:
        """Remove entries until there is room for `needed` bytes more."""
        reports = self.list()
        rank = {name: index for index, name in enumerate(room.order)}
        reports = sorted(reports, key=lambda r: (rank.get(r.name, -1), _age(r)))
        too_much = sum(r.footprint_bytes for r in reports) + needed - room.budget_bytes
        gone: list[CacheReport] = []
        for report in reports:
            if too_much <= 0:
                break
            if self._may_go(report.name, room) and self._evicted(report.name):
                too_much -= report.footprint_bytes
                gone.append(report)
        return gone

    def _may_go(self, name: str, room: Room) -> bool:
        return name not in room.kept and not live_uses(self._layout.uses(name))

    def _evicted(self, name: str) -> bool:
        """Remove an entry that nobody is at or has begun to use; say whether it went."""
        with locked_if_free(self.root, name) as held:
            if held is None or live_uses(self._layout.uses(name)):
                return False
            return drop(self._layout, held, name, self._now_ms)


def _age(report: CacheReport) -> int:
    return report.manifest.installed_at_unix_ms if report.manifest else 0
