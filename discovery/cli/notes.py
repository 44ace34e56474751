"""What is said to people besides the data: always on stderr, never a control character."""

from __future__ import annotations

import sys
from typing import Final

PROGRAM: Final = "discoveryctl"


def printable(text: str) -> str:
    """Return `text` as one line, with a "?" for whatever could command a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def printable_lines(text: str) -> str:
    """Return `text` likewise, with its line breaks: of what others wrote, it has none."""
    return "\n".join(printable(line) for line in text.split("\n"))


def note(text: str, *, name: str = PROGRAM) -> None:
    """Say one thing, under the program's name."""
    sys.stderr.write(f"{name}: {printable(text)}\n")
    sys.stderr.flush()
