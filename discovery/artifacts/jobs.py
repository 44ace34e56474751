"""Work on files that goes on by itself, and is asked for again and again until it is done.

Whoever asks says which piece of work it is, by a mark of its own. It is begun if nobody has, waited
for a little, and told of. Who asks with that mark later is told the end, once and again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Final, TypeAlias

from discovery.artifacts.stopping import Progress
from discovery.errors import (
    DiscoveryError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
    error_to_wire,
)
from discovery.names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

Work: TypeAlias = Callable[[Progress], Awaitable[dict[str, object]]]
"""A piece of work; returns what its caller is told."""

MOST_AT_ONCE: Final = 16
"""Pieces of work that change something, and as many that only look."""

MOST_KEPT: Final = 256
"""Parts of what came of the last ones, of each of these two kinds."""

_WAIT_S: Final = 0.2  # below what clients wait for an answer, however little that is
_MOST_MARK: Final = 64
_PART_CHARACTERS: Final = 256 << 10  # each part fits into a frame, even escaped


class _Job:
    """A piece of work: what was asked for, how far it has got, and what came of it."""

    def __init__(
        self, asked: Hashable, work: Work, group: asyncio.TaskGroup, *, is_change: bool
    ) -> None:
        self.asked, self.is_change = asked, is_change
        self.is_over = False
        self.parts: Sequence[str] = ()
        self._progress = Progress()
        self._error: DiscoveryError | None = None
        self.task = group.create_task(self._run(work))

    def told(self, part: int) -> dict[str, object]:
        """Return how it stands; once it is done, how it failed, or a part of its result."""
        if self.task.cancelled():
            raise _stops()
        told = {"done": self.task.done(), "progress": self._progress.to_wire()}
        if not self.task.done():
            return told
        if self._error is not None:
            # Not refused with it: after some errors a client asks again, which is in vain here.
            return {**told, "failed": error_to_wire(self._error)}
        if part >= len(self.parts):
            raise InvalidArgumentError(f"request.part {part}: expected below {len(self.parts)}")
        return {**told, "part": self.parts[part], "parts": len(self.parts)}

    async def _run(self, work: Work) -> None:
        try:
            text = json.dumps(await work(self._progress))
            starts = range(0, len(text), _PART_CHARACTERS)
            self.parts = [text[start : start + _PART_CHARACTERS] for start in starts]
        except DiscoveryError as error:
            self._error = error
        except Exception as error:  # a task's top: whoever asks is told, the daemon stays up
            logger.exception("work on files failed")
            self._error = InternalError(f"{type(error).__name__} in the daemon")


class Jobs:
    """All pieces of work of a daemon: those that are under way, and what came of the last ones."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}  # those that are over in the order in which they ended
        self._group: asyncio.TaskGroup | None = None

    def work_in(self, group: asyncio.TaskGroup) -> None:
        """Do what is asked for in a group's tasks, from now on."""
        self._group = group

    def stop(self) -> None:
        """End all that is under way, and begin nothing more."""
        self._group = None
        for job in self._jobs.values():
            job.task.cancel()

    async def told(
        self,
        mark: str,
        asked: Hashable,
        begin: Callable[[], Work],
        *,
        is_change: bool,
        part: int = 0,
    ) -> dict[str, object]:
        """Begin a piece of work, or wait for it a little; return how it stands.

        Args:
            mark: of the piece of work.
            asked: what is asked for; another one under the same mark is refused.
            begin: returns the work to be done, or raises; it is called only for a mark that is new.
            is_change: doing it twice is not the same as doing it once.
            part: which part of the result is told, from 0.

        Raises `ResourceExhaustedError` when too much is under way, `UnavailableError` at the end of
        the daemon.
        """
        if not 0 < len(mark) <= _MOST_MARK:
            raise InvalidArgumentError(f"request.mark: expected 1 to {_MOST_MARK} characters")
        job = self._jobs.get(mark) or self._begun(mark, asked, begin, is_change=is_change)
        if job.asked != asked:
            raise InvalidArgumentError(f"request.mark {shown(mark)}: was used for something else")
        await asyncio.wait([job.task], timeout=_WAIT_S)
        return job.told(part)

    def _begun(
        self, mark: str, asked: Hashable, begin: Callable[[], Work], *, is_change: bool
    ) -> _Job:
        if self._group is None:
            raise _stops()
        work = begin()
        alike = [job for job in self._jobs.values() if job.is_change == is_change]
        under_way = sum(not job.task.done() for job in alike)
        if under_way >= MOST_AT_ONCE:
            raise ResourceExhaustedError(
                f"{under_way} pieces of work are under way, expected {MOST_AT_ONCE} at most",
                retry_after_s=_WAIT_S,
            )
        job = self._jobs[mark] = _Job(asked, work, self._group, is_change=is_change)
        job.task.add_done_callback(lambda _: self._ended(mark, job))
        return job

    def _ended(self, mark: str, job: _Job) -> None:
        """Keep what came of a piece of work, and forget what ended long before it."""
        job.is_over = True
        self._jobs[mark] = self._jobs.pop(mark)
        ended = {
            mark: max(1, len(other.parts))
            for mark, other in self._jobs.items()
            if other.is_over and other.is_change == job.is_change
        }
        too_many = sum(ended.values()) - MOST_KEPT
        for old in list(ended)[:-MOST_AT_ONCE]:  # the last ones may not have been told of yet
            if too_many <= 0:
                break
            del self._jobs[old]
            too_many -= ended[old]


def _stops() -> UnavailableError:
    return UnavailableError("this daemon stops: what was under way is as it was before")
