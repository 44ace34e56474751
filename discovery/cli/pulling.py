"""Tells how far a pull has got: a bar at a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import click

from discovery.artifacts.stopping import Progress
from discovery.cli.notes import note
from discovery.cli.output import cell
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

_QUIET_S: Final = 1.0  # what takes no longer is not told of
_LOOK_S: Final = 0.1
_LINE_S: Final = 5.0
_LABEL: Final = 24
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


@asynccontextmanager
async def telling(name: str) -> AsyncGenerator[Progress]:
    """Tell on stderr how far a pull of a model has got while the block runs."""
    progress = Progress()
    async with running(_tell(name, progress)):
        yield progress


async def _tell(name: str, progress: Progress) -> None:
    await asyncio.sleep(_QUIET_S)
    with suppress(OSError):  # nobody reads it any more
        if not sys.stderr.isatty():
            await _lines(name, progress)
        else:
            await _lines(name, progress, until=lambda: progress.total_bytes > 0)
            await _bar(name, progress)


async def _lines(name: str, progress: Progress, until: Callable[[], bool] = lambda: False) -> None:
    """Say each step when it begins, and while files come how far that is."""
    said, looks = "", 0
    while not until():
        looks += 1
        step = f"{progress.step} {progress.detail}"
        is_due = progress.step == "copying" and looks * _LOOK_S >= _LINE_S
        if (text := _told(progress)) and (step != said or is_due):
            said, looks = step, 0
            note(f"{name}: {text}")
        await asyncio.sleep(_LOOK_S)


async def _bar(name: str, progress: Progress) -> None:
    def beside(_: int | None) -> str:
        """Return what stands beside the bar."""
        if progress.step in {"copying", "done"}:
            return f"{size(progress.done_bytes)} of {size(progress.total_bytes)}"
        return progress.step

    with click.progressbar(
        length=progress.total_bytes,
        label=cell(name, limit=_LABEL),
        file=sys.stderr,
        width=0,  # as wide as there is room
        item_show_func=beside,
    ) as bar:
        try:
            while True:
                bar.update(max(0, progress.done_bytes - bar.pos))
                bar.render_progress()  # what stands beside it may be another, with nothing more
                await asyncio.sleep(_LOOK_S)
        finally:
            bar.update(max(0, progress.done_bytes - bar.pos))
            bar.render_progress()


def _told(progress: Progress) -> str | None:
    """Return how far it has got, None where there is nothing to be said of it yet."""
    match progress.step:
        case "waiting":
            return f"waiting for {progress.detail}" if progress.detail else None
        case "copying" if not progress.files:
            return None
        case "copying":
            had = f", {size(progress.resumed_bytes)} were here" if progress.resumed_bytes else ""
            return (
                f"{size(progress.done_bytes)} of {size(progress.total_bytes)}, "
                f"{progress.files_done} of {progress.files} files{had}"
            )
        case step:
            return step


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in _UNITS[:-1]:
        if count < _STEP:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _STEP
    return f"{count:.1f} {_UNITS[-1]}"
