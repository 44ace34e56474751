"""A folder on this machine as a source.

Links are followed while they stay inside: a snapshot in the cache of Hugging Face is all links into
the folder of its model.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from discovery.artifacts.entry import check_path, is_skipped
from discovery.artifacts.source import Listing, Source, SourceFile
from discovery.errors import InternalError, InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES: Final = 1 << 20


class LocalSource:
    """All files of a folder, but hidden ones and manifests."""

    provider: Final = "File"
    is_resumable: Final = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.url = self._folder.as_uri()

    def list(self) -> Listing:
        """Return its files. Raises `InvalidArgumentError` for a folder that is none, or empty."""
        if not self._folder.is_dir():
            raise InvalidArgumentError(
                f"source {shown(str(self._folder))}: expected a folder that there is"
            )
        real = self._folder.resolve()
        files = sorted(_files(self._folder, "", _bounds(real), (real,)), key=lambda f: f.path)
        if not files:
            raise InvalidArgumentError(
                f"source {shown(str(self._folder))}: has no files to install (hidden files and "
                "manifest.json are left out)"
            )
        return Listing(files=files)

    def read(self, file: SourceFile, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file; each piece is good until the next one is asked for."""
        buffer = bytearray(PIECE_BYTES)
        view = memoryview(buffer)
        with (self._folder / file.path).open("rb", buffering=0) as opened:
            opened.seek(start)
            while count := opened.readinto(buffer):
                yield view[:count]  # type: ignore[misc] # is used as bytes are, and not copied

    def close(self) -> None:
        """Do nothing: no file is open but while it is read."""


def _bounds(folder: Path) -> Path:
    """Return the folder out of which no link may lead."""
    above = folder.parent.parent
    is_snapshot = folder.parent.name == "snapshots" and above.name.startswith("models--")
    return above if is_snapshot else folder


def _files(
    folder: Path, prefix: str, bounds: Path, above: tuple[Path, ...]
) -> Iterator[SourceFile]:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not is_skipped(entry.name)]
    for entry in found:
        path = check_path(f"{prefix}{entry.name}")
        where = Path(entry.path)
        status = _status(entry, where, bounds)
        if stat.S_ISDIR(status.st_mode):
            real = where.resolve()
            if real in above:
                raise InvalidArgumentError(f"source {shown(str(where))}: a link to a folder above")
            yield from _files(where, f"{path}/", bounds, (*above, real))
        elif stat.S_ISREG(status.st_mode):
            yield SourceFile(path=path, size_bytes=status.st_size)
        else:
            raise InvalidArgumentError(f"source {shown(str(where))}: neither a file nor a folder")


def _status(entry: os.DirEntry[str], where: Path, bounds: Path) -> os.stat_result:
    """Return what an entry is, of a link what it leads to."""
    if not entry.is_symlink():
        return entry.stat()
    try:
        real = where.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidArgumentError(
            f"source {shown(str(where))}: a link that leads nowhere"
        ) from error
    if not real.is_relative_to(bounds):
        raise InvalidArgumentError(
            f"source {shown(str(where))}: a link out of the source, to {shown(str(real))}"
        )
    return real.stat()


def io_error(what: str, error: OSError) -> InternalError:
    """Return the error for trouble with files, which says what and where."""
    where = f" {error.filename}" if error.filename else ""
    return InternalError(f"{what}: {error.strerror or error}{where}")


_: type[Source] = LocalSource
