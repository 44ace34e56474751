"""The cache of one node, or of a disk that several share: pull, inspect, drop, use, make room."""

from __future__ import annotations

import errno
import shutil
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from discovery.artifacts.copying import Delivery
from discovery.artifacts.entry import check_entry
from discovery.artifacts.installing import drop, install
from discovery.artifacts.layout import Layout
from discovery.artifacts.local import io_error
from discovery.artifacts.lock import locked
from discovery.artifacts.marks import Mark, touched
from discovery.artifacts.recovering import recover, recover_entry
from discovery.artifacts.report import (
    CacheStatus,
    inspect_entry,
    unhealthy_entry,
)
from discovery.artifacts.room import RoomMaker
from discovery.artifacts.stopping import Progress, never
from discovery.artifacts.tree import UnhealthyError, check_bytes, footprint_bytes, remove
from discovery.clock import now_ms as clock_ms
from discovery.errors import ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from discovery.artifacts.manifest import Described, Manifest
    from discovery.artifacts.report import CacheReport
    from discovery.artifacts.room import Room
    from discovery.artifacts.source import Listing, Source
    from discovery.artifacts.stopping import Stop


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
                report = inspect_entry(self._layout, name)
                is_kept = is_wanted is not None and not is_wanted(report)
                if is_kept and report.status is CacheStatus.INSTALLED and report.manifest:
                    return report.manifest
                progress.begin("listing")
                listing = source.list()
                rooms = RoomMaker(self._layout, room, self._now_ms) if room else None
                if rooms:
                    rooms.make(name, listing.total_bytes)
                self._check_space(name, listing)
                described = replace(
                    described, name=name, source=source.url, revision=listing.revision
                )
                delivery = Delivery(source, listing, progress, stop)
                size = listing.total_bytes
                has_room = rooms.held(name, size, stop) if rooms else nullcontext()
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
            report = inspect_entry(self._layout, name)
            if is_deep and report.status is CacheStatus.INSTALLED and report.manifest:
                check_bytes(report.path, report.manifest, stop.check)
        except UnhealthyError as error:
            return unhealthy_entry(self._layout, name, error)
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
            return [inspect_entry(self._layout, name) for name in self._layout.entries()]
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
                    report = inspect_entry(self._layout, name)
            except OSError as error:
                raise io_error(f"model {name}: not used", error) from error
            stack.enter_context(touched(use))
            yield report

    def evict(self, room: Room) -> Sequence[CacheReport]:
        """Remove what was not used for longest until all that is there fits; return what went.

        What is in use stays, and may be more than fits.
        """
        try:
            return RoomMaker(self._layout, room, self._now_ms).evict()
        except OSError as error:
            raise io_error(f"cache {self.root}", error) from error

    # ---- inside

    def _check_space(self, name: str, listing: Listing) -> None:
        here = footprint_bytes(self._layout.partial(name))
        free, missing = shutil.disk_usage(self.root).free, listing.total_bytes - here
        if missing > free:
            raise ResourceExhaustedError(
                f"model {name}: needs {missing} bytes more, and {self.root} has {free} free"
            )
