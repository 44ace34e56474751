"""One install or drop at a time of a model in a cache, among processes and machines.

A lock is a file `.locks/{entry}/{number}`, of which the highest number counts. It is taken by
making the next one, which no two can do, where nobody holds the highest: it was released, or its
process is gone. It is not `flock`, which some network file systems grant to two at once, and which
does not say who has it. Nobody removes the highest, so no number comes twice.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from discovery.artifacts.marks import Mark, holder_of, is_live, touched
from discovery.artifacts.stopping import never
from discovery.errors import FailedPreconditionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from discovery.artifacts.stopping import Stop

_LOOK_S: Final = 0.05
_LOOK_AT_MOST_S: Final = 0.5
_RELEASED: Final = b"released"  # what a lock that nobody has any more begins with
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Held:
    """A lock that this process has."""

    def __init__(self, folder: Path, number: int, token: str) -> None:
        self._folder, self._number, self._token = folder, number, token
        self.path = folder / str(number)

    def check(self) -> None:
        """Raise `FailedPreconditionError` when others have taken this process for dead."""
        if _highest(self._folder) != self._number or holder_of(self.path)[1] != self._token:
            raise FailedPreconditionError(
                f"lock {self._folder.name}: lost, as this process stood still for too long"
            )

    def release(self) -> None:
        """Let others have it."""
        if holder_of(self.path)[1] == self._token:
            # In place: on a disk that is full, nothing could be written elsewhere.
            with suppress(FileNotFoundError), self.path.open("r+b") as file:
                file.write(_RELEASED)


@contextmanager
def locked(
    root: Path,
    entry: str,
    stop: Stop = never,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Generator[Held]:
    """Have the lock of an entry while the block runs; wait for it as long as another has it.

    Args:
        root: the cache.
        entry: which model.
        stop: ends the waiting.
        on_wait: is told once who has it.
    """
    pause_s, is_told = _LOOK_S, False
    while (held := take(root, entry)) is None:
        if not is_told:
            on_wait(holder_text(root, entry))
            is_told = True
        stop.pause(pause_s)
        pause_s = min(2 * pause_s, _LOOK_AT_MOST_S)
    with _kept(held):
        yield held


@contextmanager
def locked_if_free(root: Path, entry: str) -> Generator[Held | None]:
    """Have the lock while the block runs, or None if another process has it now."""
    held = take(root, entry)
    if held is None:
        yield None
        return
    with _kept(held):
        yield held


@contextmanager
def _kept(held: Held) -> Generator[None]:
    try:
        with touched(held.path):
            yield
    finally:
        held.release()


def take(root: Path, entry: str) -> Held | None:
    """Take the lock of an entry, None if somebody has it."""
    folder = root / ".locks" / entry
    mark = Mark(folder)
    try:
        number = _highest(folder)
        if number and _is_held(folder / str(number), mark):
            return None
        number += 1
        if not _made(mark, folder / str(number)) or _highest(folder) != number:
            return None
        _sweep(folder, number, mark)
    finally:
        mark.path.unlink(missing_ok=True)
    return Held(folder, number, mark.token)


def holder_text(root: Path, entry: str) -> str:
    """Return who has the lock of an entry, in words."""
    folder = root / ".locks" / entry
    holder, _ = holder_of(folder / str(_highest(folder)))
    return str(holder) if holder else "another process"


def _is_held(path: Path, mark: Mark) -> bool:
    try:
        if path.read_bytes().startswith(_RELEASED):
            return False
    except FileNotFoundError:  # a higher one is there
        return True
    return is_live(path, mark)


def _sweep(folder: Path, number: int, mark: Mark) -> None:
    """Remove the locks before this one, and the marks of those who were killed meanwhile."""
    with suppress(OSError):  # it is taken all the same
        for path in folder.iterdir():
            if path.name.isdecimal():
                is_over = int(path.name) < number
            else:
                is_over = path != mark.path and not is_live(path, mark)
            if is_over:
                path.unlink(missing_ok=True)


def _made(mark: Mark, path: Path) -> bool:
    """Make a file with what a mark says, if it is not there; of several at most one does."""
    try:
        os.link(mark.path, path)
    except FileExistsError:
        pass  # over NFS, an answer that was lost makes our own look like another's
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _copied(mark, path)
    with suppress(FileNotFoundError):
        return path.samefile(mark.path)
    return False


def _copied(mark: Mark, path: Path) -> bool:
    """Do the same on a file system without links; who looks too soon finds nobody in it yet."""
    try:
        with path.open("xb") as file:
            file.write(mark.path.read_bytes())
    except FileExistsError:
        return False
    return True


def _highest(folder: Path) -> int:
    return max(_numbers(folder), default=0)


def _numbers(folder: Path) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    return []
