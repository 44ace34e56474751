"""What a person reads while `discoveryctl demo` plays."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from discovery.cli.notes import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_WIDTH: Final = 100
_WHO: Final = 12
_BOLD, _GREEN, _RED = "1", "32", "31"


class Narrator:
    """Tells scenes, what is said in them, and claims.

    Args:
        stream: where to.
        is_coloured: whether claims and titles stand out.
    """

    def __init__(self, stream: TextIO, *, is_coloured: bool) -> None:
        self.claims = 0
        """How many were found to be so."""
        self._stream = stream
        self._is_coloured = is_coloured
        self._scenes = 0

    def scene(self, title: str) -> None:
        """Begin a scene."""
        self._scenes += 1
        self._write("")
        self._write(self._painted(f"{self._scenes}. {title}", _BOLD))

    def line(self, who: str, text: str) -> None:
        """Tell what somebody said or did."""
        first, rest = f"   {who:<{_WHO}}", " " * (3 + _WHO)
        for line in textwrap.wrap(printable(text), _WIDTH - len(rest), break_long_words=False):
            self._write(first + line)
            first = rest

    def holds(self, claim: str) -> None:
        """Tell that a claim was checked and is so."""
        self.claims += 1
        self._write(f"   {self._painted('ok', _GREEN)}  {claim}")

    def fails(self, claim: str, why: str, errors: Sequence[str]) -> None:
        """Tell that a claim is not so, and what the processes have complained of."""
        self._write(f"   {self._painted('NOT SO', _RED)}  {claim}")
        self._write(f"           {printable(why)}")
        for line in errors:
            self._write(f"   stderr: {printable(line)}")

    def end(self, text: str) -> None:
        """Tell how it ended."""
        self._write("")
        self._write(text)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._is_coloured else text

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
