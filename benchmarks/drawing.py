"""What every plot is drawn with, as SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

COLOURS = ("#4f46e5", "#059669", "#64748b")
MIDDLE, END = 'text-anchor="middle"', 'text-anchor="end"'
_FONT = 'font-family="DejaVu Sans, Arial, sans-serif" font-size="12" fill="#475569"'
_TITLE = 'font-size="14" font-weight="600" fill="#1e293b"'


def picture(width: int, height: int, title: str, left: float, parts: Iterable[str]) -> str:
    """Return a whole picture, on white, with its title."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        text(left, 24, title, _TITLE),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'
