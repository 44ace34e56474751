"""What happened in a world, told so that a person can follow it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_LINES = 60
_PLACE = re.compile(r"v1/\w+/(\w+/\w+/\w+/)")
_MEANING = {
    "ahead": "A view was ahead of its store.",
    "dishonest": "A view was older than it said.",
    "fault": "Something of the core ended by itself.",
    "false alarm": "A view was thought corrupt though nothing had been spoiled.",
    "false gap": "A router found a gap though nothing had been lost.",
    "false loss": "A process was told that its lease is lost, and it was not.",
    "false refusal": "A registration was refused for a model that was not there.",
    "false removal": "A router was told that a worker went who lived and was heard.",
    "held in vain": "A router held what had been unregistered.",
    "incomplete": "What a router was told does not add up to what it shows.",
    "livelock": "The world does not come to rest.",
    "not healed": "Long after the last fault, not everybody knew the truth.",
    "not unique": "The same thing was told twice, or the end of something that never was.",
    "old list": "A list was older than what its daemon had told before.",
    "stolen": "A process ended the lease of another one.",
    "synced early": "A stream said synced before it had seen the registry.",
    "time travel": "A view went back in time.",
    "torn": "What belongs to one commit was seen without the rest of it.",
    "two models": "Two models that contradict each other were at one endpoint.",
    "unbounded": "What waits for a slow reader grew beyond the number of records.",
    "unfenced": "A record was written without its session.",
    "unordered": "Changes were told out of order.",
    "wrong list": "A list was not what the registry had at its revision.",
    "wrong view": "A view was not what the registry had at its revision.",
}


@dataclass(frozen=True)
class Broken:
    """What was broken first in a world, when and at whom."""

    kind: str
    seed: int
    at: float
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: seed {self.seed} at {self.at:.4f}: {self.text}"


@dataclass(frozen=True)
class Line:
    """One line of a story."""

    at: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:9.4f}  {self.who}: {self.what}"


def summary(broken: Broken) -> str:
    """Return in one sentence what that means."""
    return _MEANING[broken.kind]


def shortened(story: Sequence[Line], broken: Broken, daemon: str) -> list[str]:
    """Return the lines that matter: of those to blame, and of the records in question."""
    lines: Iterable[Line] = story
    if len(story) > MOST_LINES:
        places = _PLACE.findall(broken.text)
        lines = [line for line in story if _matters(line, broken, daemon, places)]
    said = [str(line) for line in lines]
    if len(said) > MOST_LINES:
        left_out = len(said) - MOST_LINES
        said = [f"           ({left_out} lines before this)", *said[left_out:]]
    return said


def _matters(line: Line, broken: Broken, daemon: str, places: Sequence[str]) -> bool:
    """Say whether a line may have to do with it.

    That is what befell the one to blame and its daemon, any fault, and the records of the endpoints
    in question; without any in question, all records.
    """
    if line.who in {broken.who, daemon, "world"}:
        return True
    if line.who.startswith("router"):
        return False
    is_fault = "/" not in line.what
    return is_fault or (not places and line.who == "store") or any(p in line.what for p in places)
