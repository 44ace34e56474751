"""How work in a thread is told to stop, and how far it has got."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXTS: Final = ("step", "detail")
_NUMBERS: Final = ("files", "files_done", "total_bytes", "done_bytes", "resumed_bytes")


class StoppedError(Exception):
    """The work was told to stop. It has put everything back as it was."""


class Stop:
    """Tells work in a thread to stop; it looks at it between two pieces."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Tell it."""
        self._event.set()

    def check(self) -> None:
        """Raise `StoppedError` if it was told."""
        if self._event.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        """Wait a little. Raises `StoppedError` as soon as it is told."""
        if self._event.wait(seconds):
            raise StoppedError


never = Stop()
"""For work that nobody stops."""


@dataclass(slots=True)
class Progress:
    """How far a pull has got. May be read at any time, from any thread.

    Attributes:
        step: `waiting`, `listing`, `copying`, `installing` or `done`.
        detail: such as who is waited for.
        files: how many there are, 0 while that is not known.
        files_done: how many of them are here.
        total_bytes: of all files.
        done_bytes: how many of them are here.
        resumed_bytes: how many of these were here before.
    """

    step: str = "waiting"
    detail: str = ""
    files: int = 0
    files_done: int = 0
    total_bytes: int = 0
    done_bytes: int = 0
    resumed_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, step: str, detail: str = "") -> None:
        """Note what is done now."""
        self.step, self.detail = step, detail

    def expect(self, files: int, total_bytes: int) -> None:
        """Note how much there is."""
        with self._lock:
            self.files, self.total_bytes = files, total_bytes
            self.files_done = self.done_bytes = self.resumed_bytes = 0

    def add(self, count: int, *, is_resumed: bool = False) -> None:
        """Note that so many bytes more are here."""
        with self._lock:
            self.done_bytes += count
            self.resumed_bytes += count if is_resumed else 0

    def file_done(self) -> None:
        """Note that a file is whole."""
        with self._lock:
            self.files_done += 1

    def to_wire(self) -> dict[str, object]:
        """Return what `take` reads."""
        return {name: getattr(self, name) for name in _TEXTS + _NUMBERS}

    def take(self, value: Mapping[str, object]) -> None:
        """Be as far as another one; what cannot be read stays as it is."""
        for name, kind in [(name, str) for name in _TEXTS] + [(name, int) for name in _NUMBERS]:
            if type(value.get(name)) is kind:
                setattr(self, name, value[name])
