"""Memory and descriptors of a soak's processes over time, as SVG by the standard library."""

from __future__ import annotations

from math import ceil, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.soak.sampling import Sample

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 720, 240, 60, 20, 60, 50
_HEIGHT = _TOP + 2 * (_PANEL + _GAP)
_COLOURS = {"daemon": "#4f46e5", "routers": "#059669", "workers": "#d97706", "etcd": "#94a3b8"}
_MOST_POINTS = 240
_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
    'font-family="DejaVu Sans, Arial, sans-serif" font-size="12" fill="#475569">\n'
    f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
)


def picture(samples: Sequence[Sample]) -> str:
    """Return the picture: a line for each process, in the colour of its kind."""
    title = 'font-size="14" font-weight="600" fill="#1e293b"'
    parts = [_HEAD, _text(_LEFT, 24, "The processes of a soak, minute by minute", title)]
    left = _LEFT
    for kind, colour in _COLOURS.items():
        parts.append(f'<circle cx="{left + 5}" cy="42" r="4" fill="{colour}"/>')
        parts.append(_text(left + 14, 46, kind))
        left += 90
    parts += _panel(samples, _TOP, "MiB of its own memory", lambda it: it.memory_bytes / 2**20)
    parts += _panel(samples, _TOP + _PANEL + _GAP, "descriptors", lambda it: it.descriptors)
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    samples: Sequence[Sample], top: float, title: str, value: Callable[[Sample], float]
) -> Iterable[str]:
    longest = max(it.at_s for it in samples)
    minutes = _step(longest / 60)
    step = _step(max(map(value, samples)))
    highest = step * ceil(max(map(value, samples)) / step)
    yield _text(_LEFT, top + 14, title)
    for n in range(round(highest / step) + 1):
        y = _y(top, n * step / highest)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e2e8f0"/>'
        yield _text(_LEFT - 8, y + 4, f"{n * step:,.10g}", 'text-anchor="end"')
    for n in range(int(longest / 60 / minutes) + 1):
        x, text = _x(n * minutes * 60 / longest), f"{n * minutes:.10g}"
        yield _text(x, top + _PANEL + 16, text, 'text-anchor="middle"')
    for process in sorted({it.process for it in samples}):
        own = [it for it in samples if it.process == process]
        own = own[:: ceil(len(own) / _MOST_POINTS)]
        spots = [(_x(it.at_s / longest), _y(top, value(it) / highest)) for it in own]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        colour = _COLOURS[process.split()[0]]
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.2"/>'


def _step(highest: float) -> float:
    power = 10.0 ** int(log10(highest / 4))
    return next(it * power for it in (1, 2, 2.5, 5, 10) if highest / (it * power) <= 6)


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(top: float, share: float) -> float:
    return top + 20 + (1 - share) * (_PANEL - 20)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{text}</text>'
