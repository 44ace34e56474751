"""Sources, caches and clocks for the tests of the file plane."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from discovery.artifacts.cache import Cache
from discovery.artifacts.local import LocalSource
from discovery.artifacts.manifest import Described
from discovery.artifacts.source import Listing, Source, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from discovery.artifacts.manifest import Manifest

FILES = {"config.json": b"{}", "weights/one.bin": b"1" * 3000, "weights/two.bin": b"2" * 2000}
THEN = 1_700_000_000_000


def cache_at(root: Path) -> Cache:
    """A cache whose clock goes on by a millisecond with each look at it."""
    return Cache(root, now_ms=itertools.count(THEN).__next__)


def folder_with(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    """A folder that has these files, by their paths."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def pulled(cache: Cache, name: str = "m", files: Mapping[str, bytes] = FILES, **how) -> Manifest:
    """Pull a model that has these files."""
    return cache.pull(Described(name=name, source=""), GivenSource(files), **how)


def sized(cache: Cache, name: str, size: int, **how) -> Manifest:
    """Pull a model of so many bytes."""
    return pulled(cache, name, {"f": b"f" * size}, **how)


def below(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def left_in(cache: Cache) -> list[str]:
    """What is left of installs and drops, by path."""
    folders = [cache.root / name for name in (".staging", ".purge", ".partial")]
    return [str(path) for folder in folders if folder.exists() for path in folder.iterdir()]


def installed(cache: Cache, name: str = "m") -> dict[str, bytes]:
    """The files of what is installed, which are what the manifest says, and no others."""
    report = cache.inspect(name, is_deep=True)
    assert report.status == "installed", report.detail
    files = below(report.path)
    del files["manifest.json"]
    assert files.keys() == {file.path for file in report.manifest.files}
    return files


@dataclass
class GivenSource:
    """Files that are given; `between` is called with a path before each of a file's pieces."""

    files: Mapping[str, bytes]
    between: Callable[[str], object] = lambda _: None
    is_resumable: bool = False
    revision: str = ""
    url: str = "https://models.example/m"
    provider: str = "File"
    sha256: Mapping[str, str] = field(default_factory=dict)
    piece_bytes: int = 1000
    read_from: dict[str, int] = field(default_factory=dict)

    def list(self) -> Listing:
        files = [
            SourceFile(path=path, size_bytes=len(data), sha256=self.sha256.get(path))
            for path, data in sorted(self.files.items())
        ]
        return Listing(files=files, revision=self.revision)

    def read(self, file: SourceFile, start: int) -> Iterator[bytes]:
        self.read_from[file.path] = start
        data = self.files[file.path]
        for at in range(start, len(data), self.piece_bytes):
            self.between(file.path)
            yield data[at : at + self.piece_bytes]

    def close(self) -> None:
        pass


def local(folder: Path, files: Mapping[str, bytes] = FILES) -> LocalSource:
    """A folder on this machine that has these files."""
    return LocalSource(folder_with(folder, files))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_: type[Source] = GivenSource
