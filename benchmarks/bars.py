"""Bar plots as SVG: ours and the peer's, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from drawing import COLOURS, END, MIDDLE, picture, text
from figures import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = tuple[str, float | None, float | None]
    """What it is of, ours, the peer's; None where there is none."""

_WIDTH, _TOP, _BOTTOM, _RIGHT = 640, 60, 26, 110
_BAR, _ROW = 13, 40
_A_LETTER = 7
_SIDES = ("ours", "the peer's")
_PEERS = "#94a3b8"


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Two bars a row; with `is_log` a tick is ten times the last. `missing` is for no figure."""

    title: str
    unit: str
    rows: Sequence[Row]
    is_log: bool = False
    missing: str = ""

    def svg(self) -> str:
        """Return the picture."""
        left = 24 + _A_LETTER * max(len(name) for name, *_ in self.rows)
        height = _TOP + _ROW * len(self.rows) + _BOTTOM
        ticks, length_of = self._horizontal(_WIDTH - left - _RIGHT)
        parts = [*_legend()]
        for tick in ticks:
            x = left + length_of(tick)
            parts += [
                f'<path d="M{x:.1f} {_TOP}V{height - _BOTTOM}" stroke="#e2e8f0"/>',
                text(x, height - 8, f"{tick:,.10g}", MIDDLE),
            ]
        parts.append(text(_WIDTH - 12, height - 8, self.unit, END))
        for n, (name, *values) in enumerate(self.rows):
            top = _TOP + _ROW * n + (_ROW - 2 * _BAR) / 2
            parts.append(text(left - 10, top + _BAR + 4, name, END))
            for side, value in enumerate(values):
                parts += self._bar(left, top + side * _BAR, value, side, length_of)
        return picture(_WIDTH, height, self.title, 12, parts)

    def _bar(
        self,
        left: float,
        top: float,
        value: float | None,
        side: int,
        length_of: Callable[[float], float],
    ) -> list[str]:
        long = 0.0 if value is None else length_of(value)
        says = self.missing if value is None else f"{number(value)} {self.unit}"
        size = f'width="{long:.1f}" height="{_BAR - 2}"'
        return [
            f'<rect x="{left}" y="{top:.1f}" {size} fill="{_colour(side)}"/>',
            text(left + long + 6, top + _BAR - 3, says, 'font-size="11"'),
        ]

    def _horizontal(self, room: float) -> tuple[list[float], Callable[[float], float]]:
        """Return the ticks, and how long a value is."""
        values = [value for _, *pair in self.rows for value in pair if value]
        if self.is_log:
            first, last = floor(log10(min(values))), ceil(log10(max(values)))
            ticks = [10.0**power for power in range(first, last + 1)]
            return ticks, lambda v: room * (log10(v) - first) / (last - first) if v else 0.0
        step = 10.0 ** floor(log10(max(values)))
        step = next(s for s in (step / 5, step / 2, step, step * 2) if max(values) / s <= 5)
        count = ceil(max(values) / step)
        return [step * n for n in range(count + 1)], lambda v: room * v / (step * count)


def _legend() -> list[str]:
    parts: list[str] = []
    left = 12
    for side, name in enumerate(_SIDES):
        parts += [
            f'<rect x="{left}" y="36" width="11" height="11" fill="{_colour(side)}"/>',
            text(left + 17, 46, name),
        ]
        left += 40 + _A_LETTER * len(name)
    return parts


def _colour(side: int) -> str:
    return (COLOURS[0], _PEERS)[side]
