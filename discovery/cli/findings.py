"""What `discoveryctl doctor` tells: a verdict, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 10


class Verdict(StrEnum):
    """How bad it is. What is merely worth knowing is `ok`."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `check` is a stable name for scripts."""

    check: str
    verdict: Verdict
    found: str
    do: str | None = None


def ok(check: str, found: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(check=check, verdict=Verdict.OK, found=found)


def warn(check: str, found: str, do: str) -> Finding:
    """Return a finding that somebody should look at."""
    return Finding(check=check, verdict=Verdict.WARN, found=found, do=do)


def fail(check: str, found: str, do: str) -> Finding:
    """Return a finding that keeps something from working."""
    return Finding(check=check, verdict=Verdict.FAIL, found=found, do=do)


def at_most(found: Sequence[Finding]) -> Sequence[Finding]:
    """Return the first of many findings of one check, and how many there are more."""
    if len(found) <= _MOST:
        return found
    more = replace(found[-1], found=f"and {len(found) - _MOST} more")
    return [*found[:_MOST], more]
