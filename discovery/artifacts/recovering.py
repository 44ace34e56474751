"""What a process that was killed has left in a cache is put right.

Where nothing is installed, the newest whole tree comes back, from `.staging` first, else from
`.purge`; the rest goes. What a living process is at work on is its own: it has the lock.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from discovery.artifacts.layout import DROPPED
from discovery.artifacts.lock import locked_if_free
from discovery.artifacts.marks import Mark, is_live
from discovery.artifacts.stamping import is_stamped, restamp
from discovery.artifacts.tree import UnhealthyError, checked, remove
from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from discovery.artifacts.layout import Layout

logger = logging.getLogger(__name__)

_PARTIAL_S: Final = 7 * 86400.0
"""A download that nobody went on with for so long is given up."""


def recover(layout: Layout, now_ms: int) -> None:
    """Put right what can be, of all entries that nobody is at work on."""
    for name in sorted({*(name for name, _ in _trees(layout)), *_badly_stamped(layout)}):
        with locked_if_free(layout.root, name) as held:
            if held is not None:
                recover_entry(layout, name, now_ms)
    try:
        _forget_partials(layout)
        _forget_uses(layout)
    except OSError as error:  # such as a disk that is full: what there is can be used all the same
        logger.warning("not swept", extra={"path": str(layout.root), "why": str(error)})


def recover_entry(layout: Layout, name: str, now_ms: int) -> None:
    """Put right what is of one entry, under its lock."""
    left = [tree for of, tree in _trees(layout) if of == name]
    there = layout.entry(name)
    if left and not os.path.lexists(there):
        best = max(filter(None, (_whole(layout, name, tree) for tree in left)), default=None)
        if best is not None:
            best[-1].rename(there)
            logger.info("put back what was left of an install", extra={"model": name})
    for tree in left:
        remove(tree)
    restamp(layout, name, now_ms)


def _badly_stamped(layout: Layout) -> Iterator[str]:
    """Yield the entries whose stamp is not of what is installed: the end came in between."""
    stamped = [path.stem for path in _below(layout.root / ".stamps") if path.suffix == ".json"]
    for name in {*layout.entries(), *stamped}:
        with suppress(InvalidArgumentError):
            if not is_stamped(layout, name):
                yield name


def _whole(layout: Layout, name: str, tree: Path) -> tuple[bool, int, Path] | None:
    """Return how good a tree is, the best is the largest; None for one that is not whole."""
    if tree.name.endswith(DROPPED):
        return None
    try:
        manifest = checked(tree)
    except UnhealthyError:
        return None
    is_staged = tree.parent == layout.staging
    return (is_staged, manifest.installed_at_unix_ms, tree) if manifest.name == name else None


def _trees(layout: Layout) -> Iterator[tuple[str, Path]]:
    for folder in (layout.staging, layout.purge):
        for tree in _below(folder):
            name = layout.entry_of_aside(tree.name)
            if name is None:
                logger.warning("not of this cache, left alone", extra={"path": str(tree)})
            else:
                yield name, tree


def _forget_partials(layout: Layout) -> None:
    """Give up downloads that nobody went on with for long."""
    for partial in _below(layout.root / ".partial"):
        with locked_if_free(layout.root, partial.name) as held:
            if held is None:
                continue
            mark = Mark(layout.root / ".partial")
            try:
                newest = max(path.stat().st_mtime for path in (partial, *partial.rglob("*")))
                if mark.now() - newest > _PARTIAL_S:
                    remove(partial)
            finally:
                mark.path.unlink(missing_ok=True)


def _forget_uses(layout: Layout) -> None:
    for folder in _below(layout.root / ".uses"):
        live_uses(folder)


def live_uses(folder: Path) -> list[Path]:
    """Return the marks of those who use an entry and live; the others go."""
    live: list[Path] = []
    if not folder.is_dir():
        return live
    mark = Mark(folder)
    try:
        for path in folder.iterdir():
            if path == mark.path:
                continue
            if not is_live(path, mark):
                path.unlink(missing_ok=True)
            elif not path.name.startswith("."):  # those of others who are looking
                live.append(path)
    finally:
        mark.path.unlink(missing_ok=True)
    return live


def _below(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return []
