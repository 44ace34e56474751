"""From a source into a folder: each byte is read once, hashed and written."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from discovery.artifacts.manifest import ManifestFile
from discovery.artifacts.stopping import Stop, StoppedError
from discovery.errors import InternalError, UnavailableError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from discovery.artifacts.source import Listing, Source, SourceFile
    from discovery.artifacts.stopping import Progress

_AT_ONCE: Final = 4
_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """A source's files as they were listed, on their way into a folder."""

    source: Source
    listing: Listing
    progress: Progress
    stop: Stop

    def into(self, folder: Path) -> Sequence[ManifestFile]:
        """Copy all of them; go on with what is there already of a source that is afar.

        Returns what is in them, in the order of the listing. Raises what the first of them raises.
        """
        files, others = self.listing.files, Stop()  # one that fails ends the others
        self.progress.expect(len(files), self.listing.total_bytes)

        def check() -> None:
            self.stop.check()
            others.check()

        def copy(file: SourceFile) -> ManifestFile:
            check()
            try:
                return _copy(self.source, file, folder, self.progress, check)
            except BaseException:
                others.set()
                raise

        at_once = min(_AT_ONCE, os.cpu_count() or 1, len(files))
        with ThreadPoolExecutor(at_once, thread_name_prefix="artifacts-copy") as pool:
            jobs = [pool.submit(copy, file) for file in files]
        for job in sorted(jobs, key=lambda job: _is_stopped(job.exception())):  # the cause first
            job.result()
        return [job.result() for job in jobs]


def _is_stopped(error: BaseException | None) -> int:
    return 2 if isinstance(error, StoppedError) else 0 if error else 1


def _copy(
    source: Source, file: SourceFile, to: Path, progress: Progress, check: Callable[[], None]
) -> ManifestFile:
    path = to / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    hasher = hashlib.sha256()
    with path.open("ab+" if source.is_resumable else "xb", buffering=0) as out:
        size = _taken_over(out, hasher, file, check) if source.is_resumable else 0
        progress.add(size, is_resumed=True)
        for piece in source.read(file, size):
            check()
            hasher.update(piece)
            _write(out, piece)
            size += len(piece)
            progress.add(len(piece))
        os.fsync(out.fileno())
    sha256 = hasher.hexdigest()
    if size != file.size_bytes or file.sha256 not in {None, sha256}:
        path.unlink()  # so that the next attempt does not go on with it
        _complain(source, file, size, sha256)
    progress.file_done()
    return ManifestFile(path=file.path, sha256=sha256, size_bytes=size)


def _taken_over(
    out: io.FileIO, hasher: hashlib._Hash, file: SourceFile, check: Callable[[], None]
) -> int:
    """Hash what an earlier attempt has left; return how many bytes that is."""
    size = out.seek(0, os.SEEK_END)
    if size > file.size_bytes:
        out.truncate(0)
        return 0
    out.seek(0)
    while piece := out.read(_PIECE_BYTES):
        check()
        hasher.update(piece)
    return size


def _write(out: io.FileIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[out.write(view) :]


def _complain(source: Source, file: SourceFile, size: int, sha256: str) -> NoReturn:
    if size != file.size_bytes:
        raise UnavailableError(
            f"{source.url}: {file.path} has {size} bytes, expected {file.size_bytes}: it has "
            "changed meanwhile, or was cut off"
        )
    raise InternalError(
        f"{source.url}: {file.path} has sha256 {sha256}, expected {file.sha256} as its source says"
    )
