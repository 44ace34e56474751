"""Figures: what was measured, what was aimed at, and what raw pyzmq does in the same run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row. `rounds` holds what each round gave; what counts is their median.

    `at` is the size it was measured at, as 10,000 of the `of` "instances". `aim` is a bound: from
    below for rates, from above for all else. `ceiling` holds what was measured beside it in each
    round: raw pyzmq unless `beside` says otherwise.
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
        return self.got >= self.aim if self.unit == "/s" else self.got <= self.aim

    def as_json(self) -> dict[str, object]:
        """Return all of it for programs."""
        raw = median(self.ceiling) if self.ceiling else None
        return asdict(self) | {
            "rounds": list(map(_short, self.rounds)),
            "ceiling": list(map(_short, self.ceiling)),
            "got": _short(self.got),
            "is_met": self.is_met,
            "raw": raw and _short(raw),
            "ratio": raw and _short(self.got / raw),
        }


def table(rows: Sequence[Mapping[str, object]]) -> list[list[str]]:
    """Return figures, as JSON has them, as texts: a head, and a line each."""
    head = ["what", "aim", "got", str(rows[0].get("beside", "raw pyzmq")), "ratio"]
    return [head, *map(_line, rows)]


def _line(row: Mapping[str, object]) -> list[str]:
    unit = str(row["unit"])
    bound = ("≥ " if unit == "/s" else "≤ ") + number(row["aim"])
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


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def number(value: object) -> str:
    """Return a number with about three digits that count."""
    if not isinstance(value, int | float):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
