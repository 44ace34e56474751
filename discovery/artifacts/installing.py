"""A model's files become the installed ones, all at once; or nothing changes.

    .staging/x-1 ← source        copied and hashed
    .staging/x-1/manifest.json   written aside and renamed: from here on the tree is whole
    x → .purge/x-1               what was there before
    .staging/x-1 → x             from here on the new one is installed
    .purge/x-1 ✗

Whatever goes wrong before the last rename puts the old one back. Whoever is killed leaves trees of
which `recovering` finds out what to do. All of it under the lock of the entry.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from discovery.artifacts.entry import MANIFEST
from discovery.artifacts.layout import DROPPED
from discovery.artifacts.manifest import Manifest
from discovery.artifacts.stamping import stamp, write
from discovery.artifacts.tree import remove, sync_folder, sync_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from discovery.artifacts.copying import Delivery
    from discovery.artifacts.layout import Layout
    from discovery.artifacts.lock import Held
    from discovery.artifacts.manifest import Described, ManifestFile
    from discovery.artifacts.source import Listing

logger = logging.getLogger(__name__)


def install(
    layout: Layout,
    held: Held,
    described: Described,
    delivery: Delivery,
    now_ms: Callable[[], int],
    has_room: AbstractContextManager[None],
) -> Manifest:
    """Install what is delivered in place of what is there; return what is installed now.

    `has_room` is entered when all of it is here, and left when it is installed.
    """
    staging = layout.aside(layout.staging, described.name)
    try:
        delivery.progress.begin("copying")
        files = _staged(layout.partial(described.name), staging, delivery)
        delivery.progress.begin("installing")
        delivery.stop.check()
        manifest = Manifest(
            name=described.name,
            source=described.source,
            revision=described.revision,
            task=described.task,
            engine=described.engine,
            dimensions=described.dimensions,
            installed_at_unix_ms=now_ms(),
            total_size_bytes=sum(file.size_bytes for file in files),
            files=files,
        )
        write(staging / MANIFEST, manifest.encode())
        sync_folders(staging)
        with has_room:
            held.check()
            _promote(layout, described.name, staging)
    except BaseException:
        remove(staging)
        raise
    remove(layout.partial(described.name))
    _note(layout, described.name, now_ms(), manifest)
    return manifest


def drop(layout: Layout, held: Held, name: str, now_ms: Callable[[], int]) -> bool:
    """Remove what is installed; say whether there was anything."""
    there, aside = layout.entry(name), layout.aside(layout.purge, name, DROPPED)
    held.check()
    try:
        there.rename(aside)
    except FileNotFoundError:
        return False
    finally:
        remove(layout.partial(name))
    remove(aside)
    _note(layout, name, now_ms(), None)
    return True


def _note(layout: Layout, name: str, now_ms: int, manifest: Manifest | None) -> None:
    """Stamp what was done; if that fails it is done all the same, and stamped another time."""
    try:
        stamp(layout, name, now_ms, manifest)
    except OSError as error:
        logger.warning("not stamped", extra={"model": name, "why": str(error)})


def _staged(partial: Path, staging: Path, delivery: Delivery) -> Sequence[ManifestFile]:
    """Put what is delivered into a new folder.

    What comes from afar is gathered elsewhere first: the next attempt goes on with it.
    """
    source, listing = delivery.source, delivery.listing
    if not source.is_resumable:
        staging.mkdir()
        return delivery.into(staging)
    origin, files = partial / "origin", partial / "files"
    wanted = f"{source.url}\n{listing.revision}\n".encode()
    if not origin.is_file() or origin.read_bytes() != wanted:
        remove(partial)
        files.mkdir(parents=True)
        write(origin, wanted)
    _forget_others(files, listing)
    found = delivery.into(files)
    files.rename(staging)
    return found


def _forget_others(folder: Path, listing: Listing) -> None:
    """Remove what an earlier attempt has left that the source has no more."""
    wanted = {file.path for file in listing.files}
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        is_wanted = path.relative_to(folder).as_posix() in wanted
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # something that is wanted is in it
                path.rmdir()
        elif not is_wanted:
            path.unlink()


def _promote(layout: Layout, name: str, staging: Path) -> None:
    there, aside = layout.entry(name), layout.aside(layout.purge, name)
    with suppress(FileNotFoundError):
        there.rename(aside)
    try:
        staging.rename(there)
    except OSError:
        with suppress(FileNotFoundError):
            aside.rename(there)
        raise
    sync_folder(there.parent)  # the new one is there for good before the old one goes
    remove(aside)
