"""Figures: what was measured, what was aimed at, and what raw pyzmq does in the same run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


MORE_IS_BETTER = {"/s", "%"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row. `rounds` holds what each round gave; what counts is their median.

    `at` is the size it was measured at, as 10,000 of the `of` "instances". `aim` is a bound: from
    below for rates and shares, of which more is better, from above for all else. `ceiling` holds
    what was measured beside it in each round: raw pyzmq unless `beside` says otherwise.
    """

    name: str
    unit: str
    rounds: Sequence[float]
    at: int | None = None
    of: str = ""
    aim: float | None = None
    ceiling: Sequence[float] = ()
    beside: str = "raw pyzmq"

    @property
    def got(self) -> float:
        return median(self.rounds)

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is reached; None without one."""
        if self.aim is None:
            return None
        return self.got >= self.aim if self.unit in MORE_IS_BETTER else self.got <= self.aim

    def as_json(self) -> dict[str, object]:
        """Return all of it for programs."""
        raw = median(self.ceiling) if self.ceiling else None
        return asdict(self) | {
            "rounds": list(map(_short, self.rounds)),
            "ceiling": list(map(_short, self.ceiling)),
            "got": _short(self.got),
            "is_met": self.is_met,
            "raw": None if raw is None else _short(raw),
            "ratio": _short(self.got / raw) if raw else None,
        }


def table(rows: Sequence[Mapping[str, object]]) -> list[list[str]]:
    """Return figures, as JSON has them, as texts: a head, and a line each."""
    head = ["what", "aim", "got", str(rows[0].get("beside", "raw pyzmq")), "ratio"]
    return [head, *map(_line, rows)]


def _line(row: Mapping[str, object]) -> list[str]:
    unit = str(row["unit"])
    bound = ("≥ " if unit in MORE_IS_BETTER else "≤ ") + number(row["aim"])
    missed = " (missed)" if row["is_met"] is False else ""
    return [
        label(row),
        "" if row["aim"] is None else f"{bound} {unit}",
        f"{number(row['got'])} {unit}{missed}",
        "" if row["raw"] is None else f"{number(row['raw'])} {unit}",
        "" if row["ratio"] is None else number(row["ratio"]),
    ]


def label(row: Mapping[str, object]) -> str:
    """Return what a figure is of, with the size it was measured at."""
    size = row["at"]
    if not isinstance(size, int):
        return str(row["name"])
    of = str(row["of"])
    return f"{row['name']}, {size:,} {of if size != 1 else of.removesuffix('s')}"


def times_worse(row: Mapping[str, Any]) -> float:
    """Return how many times worse ours is than what is beside it; below 1 it is better."""
    got, other = float(row["got"]), float(row["raw"])
    if got == other:
        return 1.0
    worse, better = (other, got) if row["unit"] in MORE_IS_BETTER else (got, other)
    return worse / better if better else inf


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def number(value: object) -> str:
    """Return a number with two or three digits that count."""
    if not isinstance(value, int | float):
        return ""
    if not value:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
