"""Tells how far a pull has got: a bar at a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import click

from discovery.artifacts.stopping import Progress
from discovery.cli.notes import note
from discovery.cli.output import cell

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_LOOK_S: Final = 0.1
_LINE_S: Final = 5.0
_LABEL: Final = 24
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


@contextmanager
def telling(name: str) -> Generator[Progress]:
    """Tell on stderr how far a pull of a model has got while the block runs."""
    progress, ended = Progress(), threading.Event()
    tell = _bar if sys.stderr.isatty() else _lines
    thread = threading.Thread(target=_tell, args=(tell, name, progress, ended), daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()


def _tell(
    tell: Callable[[str, Progress, threading.Event], None],
    name: str,
    progress: Progress,
    ended: threading.Event,
) -> None:
    with suppress(OSError):  # nobody reads it any more
        tell(name, progress, ended)


def _lines(
    name: str,
    progress: Progress,
    ended: threading.Event,
    until: Callable[[Progress], bool] = lambda _: False,
) -> None:
    """Say each step when it begins, and while files come how far that is."""
    said, looks = "", 0
    while not until(progress) and not ended.wait(_LOOK_S):
        looks += 1
        step = f"{progress.step} {progress.detail}"
        is_due = progress.step == "copying" and looks * _LOOK_S >= _LINE_S
        if (text := _told(progress)) and (step != said or is_due):
            said, looks = step, 0
            note(f"{name}: {text}")


def _bar(name: str, progress: Progress, ended: threading.Event) -> None:
    _lines(name, progress, ended, until=lambda progress: progress.total_bytes > 0)
    if not progress.total_bytes:
        return

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
        is_over = False
        while not is_over:
            is_over = ended.wait(_LOOK_S)
            bar.update(max(0, progress.done_bytes - bar.pos))
            bar.render_progress()  # what stands beside it may be another, with nothing more here


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
