"""What the tasks of an event loop wait for, said in a word each: for a log."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any, Final

_DEEPEST: Final = 50


def waiting_places(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Return where each task of a loop stands, "outermost > … > innermost:line", sorted."""
    return sorted(_place(task) for task in asyncio.all_tasks(loop))


def _place(task: asyncio.Task[Any]) -> str:
    """Follow a task from one coroutine to the one that it awaits; a future says no place."""
    names: list[str] = []
    line = 0
    inside: Any = task.get_coro()
    while inside is not None and len(names) < _DEEPEST:
        frame = _of(inside, "frame")
        if frame is None:
            inside = _generator_of(inside)
            continue
        names.append(frame.f_code.co_qualname)
        line = frame.f_lineno
        inside = _of(inside, "await") or _of(inside, "yieldfrom")
    return f"{' > '.join(names)}:{line}"


def _generator_of(step: object) -> AsyncGenerator[Any, Any] | None:
    """Return the asynchronous generator that a step is of; Python tells only its collector."""
    return next((one for one in gc.get_referents(step) if isinstance(one, AsyncGenerator)), None)


def _of(inside: object, what: str) -> Any:  # noqa: ANN401 - a coroutine, or what it awaits
    """Return what a coroutine, a generator or an asynchronous generator says of itself."""
    found = (getattr(inside, f"{kind}_{what}", None) for kind in ("cr", "gi", "ag"))
    return next((one for one in found if one is not None), None)
