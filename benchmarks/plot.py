"""Line plots as SVG, by the standard library."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from drawing import COLOURS, END, MIDDLE, picture, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 62, 52
_STEPS = (1, 2, 2.5, 5, 10)
_MOST_TICKS = 6


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines over sizes, which are powers of ten; `bound` is a dashed line, with its text."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Points]
    is_log: bool = False
    bound: tuple[float, str] | None = None

    def svg(self) -> str:
        """Return the picture."""
        sizes = sorted({x for points in self.lines.values() for x, _ in points})
        low, high = log10(sizes[0]), log10(sizes[-1])
        ticks, height_of = self._vertical()

        def at(x: float, y: float) -> tuple[float, float]:
            inner = _WIDTH - _LEFT - _RIGHT - 60  # room for the first and the last size
            return _LEFT + 30 + inner * (log10(x) - low) / (high - low or 1), height_of(y)

        below = _HEIGHT - _BOTTOM + 18
        parts = [
            *(_grid(tick, height_of(tick)) for tick in ticks),
            *(text(at(x, ticks[-1])[0], below, f"{x:,.0f}", MIDDLE) for x in sizes),
            text(_WIDTH / 2, _HEIGHT - 10, self.x, MIDDLE),
            text(10, 46, self.y),
            *self._bound(height_of),
            *self._drawn(at),
        ]
        return picture(_WIDTH, _HEIGHT, self.title, _LEFT, parts)

    def _vertical(self) -> tuple[list[float], Callable[[float], float]]:
        """Return the ticks of the vertical axis, and where a value is."""
        values = [y for points in self.lines.values() for _, y in points]
        top = max([*values, *(self.bound or ())[:1]])
        if self.is_log:
            first, last = floor(log10(min(values))), ceil(log10(top))
            ticks = [10.0**power for power in range(first, last + 1)]
            return ticks, lambda y: _height((log10(y) - first) / (last - first))
        step = next(
            step * 10.0**power
            for power in range(-3, 9)
            for step in _STEPS
            if top / (step * 10.0**power) <= _MOST_TICKS
        )
        count = ceil(top / step)
        return [step * n for n in range(count + 1)], lambda y: _height(y / (step * count))

    def _bound(self, place: Callable[[float], float]) -> list[str]:
        if self.bound is None:
            return []
        y = place(self.bound[0])
        return [
            _across(y, 'stroke="#dc2626" stroke-dasharray="5 4"'),
            text(_WIDTH - _RIGHT, y - 5, self.bound[1], f'{END} fill="#dc2626"'),
        ]

    def _drawn(self, at: Callable[[float, float], tuple[float, float]]) -> list[str]:
        parts: list[str] = []
        left = _LEFT
        for (name, points), colour in zip(self.lines.items(), COLOURS, strict=False):
            spots = [at(x, y) for x, y in points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            parts += [
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
                *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in spots),
                f'<circle cx="{left + 5}" cy="42" r="4" fill="{colour}"/>',
                text(left + 14, 46, name),
            ]
            left += 28 + 7 * len(name)
        return parts


def _height(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _grid(value: float, y: float) -> str:
    return _across(y, 'stroke="#e2e8f0"') + text(_LEFT - 8, y + 4, f"{value:,.10g}", END)


def _across(y: float, style: str) -> str:
    return f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" {style}/>'
