"""Files that say that a process lives: who holds a lock, who uses a model.

On the same kernel a process is looked up by its number and when it was started, so one that was
killed is known to be gone at once. Of a process elsewhere, on a disk that several machines share,
nothing is known but when it last touched its file, by the clock of that disk.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

TOUCH_S: Final = 15.0
"""How often a process touches its files."""

STALE_S: Final = 90.0
"""A file of a process elsewhere that was not touched for so long is nobody's."""

_TOKEN_BYTES: Final = 8
_GONE: Final = ("Z", "X")  # states of a process that runs no more, and is still listed


@dataclass(frozen=True, slots=True)
class Holder:
    """A process: on which host and boot, among which numbers, which one, and since when."""

    host: str
    boot: str
    numbers: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def is_running(self) -> bool | None:
        """Say whether it runs; None if that cannot be known from here."""
        here = this_process()
        if not here.boot or (self.boot, self.numbers) != (here.boot, here.numbers):
            return None
        return _started(self.pid) == self.since


def this_process() -> Holder:
    """Return the process that asks."""
    return Holder(
        host=socket.gethostname(),
        boot=_text("/proc/sys/kernel/random/boot_id"),
        numbers=_numbers(),
        pid=os.getpid(),
        since=_started(os.getpid()) or "",
    )


class Mark:
    """A file of this process, complete from the moment it is there; `token` is in no other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.token = secrets.token_hex(_TOKEN_BYTES)
        self.path = folder / f".{self.token}"
        value = {**asdict(this_process()), "token": self.token}
        try:
            self.path.write_text(json.dumps(value), encoding="utf-8")
        except OSError:  # such as a disk that is full
            self.path.unlink(missing_ok=True)
            raise

    def now(self) -> float:
        """Return the time by the clock of the disk that the file is on."""
        os.utime(self.path)
        return self.path.stat().st_mtime


def holder_of(path: Path) -> tuple[Holder | None, str]:
    """Return who has made a file, and its token; None and "" if that cannot be read."""
    try:
        value = json.loads(path.read_bytes())
        token = str(value.pop("token"))
        return Holder(**value), token
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None, ""


def is_live(path: Path, mark: Mark) -> bool:
    """Say whether the process lives that has made a file; one that is not there is nobody's."""
    holder, _ = holder_of(path)
    is_running = holder.is_running() if holder else None
    if is_running is not None:
        return is_running
    try:
        return mark.now() - path.stat().st_mtime < STALE_S
    except FileNotFoundError:
        return False


@contextmanager
def touched(path: Path) -> Generator[None]:
    """Touch a file from time to time while the block runs, for whoever looks from elsewhere."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(TOUCH_S):
            with suppress(OSError):  # it is somebody else's by now
                os.utime(path)

    thread = threading.Thread(target=touch, name="artifacts-touch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _started(pid: int) -> str | None:
    """Return when a process was started, in the kernel's ticks, None if it runs no more."""
    # The name in parentheses, which comes before, may have anything in it.
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return None if not fields or fields[0] in _GONE else fields[19]


def _numbers() -> str:
    """Return the name space of process numbers: containers on one host have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
