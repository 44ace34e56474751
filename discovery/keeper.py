"""Drives a `Session`: sends its calls, wakes it in time, and tells callers how their jobs ended."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from discovery.clock import monotonic_s
from discovery.errors import (
    DeadlineExceededError,
    DiscoveryError,
    InternalError,
    UnavailableError,
)
from discovery.events import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.connection import Connection
    from discovery.ids import InstanceId
    from discovery.jobqueue import Deed
    from discovery.registrations import Outcome
    from discovery.session import Call, Session
    from discovery.spec import Spec

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Ticket:
    """Names a job to who asked for it; `job` is None until it has begun."""

    job: int | None = None


class Keeper:
    """Keeps what this process registered, as long as `group` runs.

    Args:
        session: the rules.
        connection: the way to a daemon.
        group: where the calls run; none of them ever fails it.
    """

    def __init__(self, session: Session, connection: Connection, group: asyncio.TaskGroup) -> None:
        self.session = session
        self._connection = connection
        self._group = group
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        self._is_over = False

    async def register(self, specs: Sequence[Spec], within_s: float, ticket: Ticket) -> int:
        """Register `specs` as one unit and return its revision. What fails is undone."""

        def begin() -> int:
            ticket.job = self.session.register(specs)
            return ticket.job

        return (await self._job(begin, "registration", within_s)).revision

    async def do(
        self, deed: Deed, what: str, within_s: float, ticket: Ticket
    ) -> Mapping[str, object]:
        """Do a deed and return its answer. What fails is undone."""

        def begin() -> int:
            ticket.job = self.session.do(deed)
            return ticket.job

        return (await self._job(begin, what, within_s)).answer

    def undo(self, ticket: Ticket, deed: Deed) -> None:
        """Take back a deed whose caller was cancelled, be it before or after it was done."""
        if ticket.job is not None:
            self.session.undo(ticket.job, deed)
            self._pump()

    def retract(self, ticket: Ticket) -> None:
        """Undo a registration whose caller was cancelled, be it before or after it was done."""
        if ticket.job is not None:
            self.session.retract(ticket.job)
            self._pump()

    async def unregister(
        self, ids: Sequence[InstanceId], within_s: float, detail: str | None = None
    ) -> int:
        """Remove what was registered under `ids`; return the revision of that."""
        begin = partial(self.session.unregister, ids, detail)
        return (await self._job(begin, "removal", within_s)).revision

    async def close(
        self, within_s: float, cause: Cause = Cause.UNREGISTERED, detail: str | None = None
    ) -> None:
        """Give the lease back; if no daemon takes it within `within_s`, it runs out by itself."""
        self.session.close(cause, detail)
        for future in self._futures.values():
            if not future.done():
                future.set_exception(_closing())
        self._is_over = False  # closed a second time, it tries a second time
        try:
            async with asyncio.timeout(within_s):
                self._pump()
                await self._closed.wait()
        except TimeoutError:
            logger.warning(
                "nobody took back lease %x, it will end by itself", self.session.instance_id
            )
        finally:
            self._is_over = True
            if self._timer:
                self._timer.cancel()

    def hurry(self) -> None:
        """A daemon was reached: do now what waits for its turn, and see if the lease holds."""
        self.session.hurry(monotonic_s())
        self._pump()

    async def _job(self, begin: Callable[[], int], what: str, within_s: float) -> Outcome:
        if self.session.is_closing:
            raise _closing()
        number, why = begin(), None
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures[number] = future
        self._pump()
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            why = self.session.abandon(number)
            state = self._connection.state
            kind = UnavailableError if type(why) is UnavailableError else DeadlineExceededError
            raise kind(
                f"{what}: not done within {within_s:g} s, the connection is {state}"
                + (f"; {why}" if why else "")
            ) from None
        finally:
            del self._futures[number]
            self.session.abandon(number)
            self._pump()

    def _pump(self) -> None:
        if self._is_over:  # what is still on its way ends with the group, which takes nothing new
            return
        now = monotonic_s()
        for call in self.session.poll(now):
            self._group.create_task(self._attempt(call))
        self._tell()
        if self.session.is_closed:
            self._closed.set()
        self._plan(self.session.next_wakeup() - now)

    def _tell(self) -> None:
        for outcome in self.session.take_outcomes():
            future = self._futures.get(outcome.job)
            if future is None or future.done():
                continue
            if outcome.error:
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome)
        for failure in self.session.take_failures():
            ids = [str(spec.id(self.session.instance_id)) for spec in failure.specs]
            logger.error("%s: not registered any more: %s", ", ".join(ids), failure.error)

    def _plan(self, in_s: float) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if in_s < float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, in_s), self._pump)

    async def _attempt(self, call: Call) -> None:
        asked_at = monotonic_s()
        try:
            answer = await self._connection.call(
                call.op, call.fields, call.within_s, is_urgent=call.is_urgent
            )
        except DiscoveryError as error:
            self.session.fail(call.number, error, monotonic_s())
        except Exception as error:  # one request must not end all others
            logger.exception("request failed", extra={"op": call.op})
            failed = InternalError(f"{call.op}: {type(error).__name__}: {error}")
            self.session.fail(call.number, failed, monotonic_s())
        else:
            self.session.answer(call.number, answer.result, asked_at)
        self._pump()


def _closing() -> UnavailableError:
    return UnavailableError("the connection is being closed")
