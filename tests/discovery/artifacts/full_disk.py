"""Installs on a disk that fills up. usage: python -m tests.discovery.artifacts.full_disk FOLDER

The folder is a disk of a megabyte. Whatever is not as it should be ends it with an error.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from discovery.artifacts.cache import Cache
from discovery.artifacts.lock import locked, locked_if_free
from discovery.artifacts.manifest import Described
from discovery.errors import InternalError
from tests.discovery.artifacts.places import GivenSource, installed, left_in

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = {"config.json": b"{}", "weights/old.bin": b"o" * 50_000}
NEW = {"config.json": b"[]", "weights/new.bin": b"n" * 50_000}
FULL = "No space left on device"


class Disk:
    """A small disk, a cache on it, and what fills it up."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache(folder / "cache")
        self._ballast = folder / "ballast"

    def fill(self, _: str = "") -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def empty(self) -> None:
        self._ballast.unlink()

    def pull(self, source: GivenSource) -> None:
        self.cache.pull(Described(name="m", source=""), source)

    def refuses(self, work: Callable[[], object]) -> None:
        """Something fails, as the disk is full, and changes nothing."""
        with pytest.raises(InternalError, match=FULL):
            work()
        self.empty()
        self.is_as_before()

    def is_as_before(self) -> None:
        for cache in (self.cache, Cache(self.cache.root)):
            assert installed(cache) == OLD
            assert left_in(cache) == []
        with locked_if_free(self.cache.root, "m") as held:
            assert held
        assert len(list((self.cache.root / ".locks/m").iterdir())) == 1
        assert not list((self.cache.root / ".uses/m").iterdir())


def main(folder: Path) -> None:
    disk = Disk(folder)
    disk.pull(GivenSource(OLD))
    with disk.cache.used("m"):
        pass
    for is_resumable in (False, True):
        source = GivenSource(NEW, disk.fill, is_resumable)  # while files are copied
        disk.refuses(lambda source=source: disk.pull(source))
    source = GivenSource({"weights/new.bin": NEW["weights/new.bin"]}, piece_bytes=10**6)
    source.read = at_the_end(source.read, disk.fill)  # when all is copied, before its manifest
    disk.refuses(lambda: disk.pull(source))
    disk.fill()  # before anything is done
    assert installed(disk.cache) == OLD
    disk.refuses(lambda: disk.pull(GivenSource(NEW)))
    for work in (lambda: disk.cache.drop("m"), lambda: disk.cache.used("m").__enter__()):
        disk.fill()
        disk.refuses(work)
    with disk.cache.used("m"):  # when a process starts
        disk.fill()
        assert installed(Cache(disk.cache.root)) == OLD
    disk.empty()
    with locked(disk.cache.root, "m"):  # when the lock is given back
        disk.fill()
    disk.empty()
    disk.is_as_before()
    disk.pull(GivenSource(NEW))
    assert installed(disk.cache) == NEW


def at_the_end(read, then):
    def both(*which):
        yield from read(*which)
        then()

    return both


if __name__ == "__main__":
    main(Path(sys.argv[1]))
