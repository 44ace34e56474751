"""The stream an application holds: the current view, and what happens to it."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING, Self

from discovery.clock import monotonic_s
from discovery.errors import DiscoveryError, FailedPreconditionError
from discovery.events import Added
from discovery.feeder import Feeder
from discovery.followed import Sink, Status
from discovery.follower import StreamState
from discovery.outbox import Outbox
from discovery.pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from discovery.background import Background
    from discovery.events import Event
    from discovery.ids import InstanceId
    from discovery.instance import Instance
    from discovery.query import Query
    from discovery.upstream import Upstreams
    from discovery.view import Shown

_NOTHING = Status(
    state=StreamState.SYNCING,
    revision=-1,
    epoch=None,
    proven_at=float("-inf"),
    is_synced=False,
    is_recovering=False,
)


class WatchStream:
    """What a query's instances are now, kept right for ever.

    Enter it, then read `instances` at any time, wait for `changed`, or iterate over events.
    Iterating starts with the current view as `Added`. What a slow reader has not read is coalesced
    per key and handed over as one diff; while somebody iterates, `instances` and `revision` are
    those at the last diff handed over, and the newest otherwise. Belongs to the event loop it was
    entered on. Two tasks take two streams: those of one scope share all that costs.

    Args:
        query: what is asked for.
        upstreams: where it comes from.
        background: the thread `upstreams` lives on.
        entered: holds this stream from when it is entered until it is closed.
    """

    def __init__(
        self,
        query: Query,
        upstreams: Upstreams,
        background: Background,
        entered: set[WatchStream],
    ) -> None:
        self.query = query
        self._upstreams, self._background, self._entered = upstreams, background, entered
        self._outbox = Outbox()
        self._newest, self._given = Pictures(), Pictures()
        self._ids: dict[str, InstanceId] = {}
        self._status = self._given_status = _NOTHING
        self._error: DiscoveryError | None = FailedPreconditionError(
            "the stream is not entered: use `async with d.watch(…) as stream`"
        )
        self._waiters: set[asyncio.Future[None]] = set()
        self._iterator: weakref.ref[_Events] | None = None
        self._sink: Sink | None = None
        self._undelivered: deque[Event] = deque()
        self._version = self._seen = 0
        self._reader: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        if self in self._entered or self._status is not _NOTHING:
            raise FailedPreconditionError("a stream is entered once; d.watch(…) gives another one")
        loop = asyncio.get_running_loop()
        feeder = Feeder(self._background, loop, self._receive, self.query)
        self._sink, self._error = Sink(feeder.push), None
        self._entered.add(self)
        self._background.call(self._upstreams.attach, self.query.scope, self._sink)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream; who waits on it or iterates is told so."""
        self.let_go()

    def let_go(self) -> None:
        """End the stream, also when no event loop runs."""
        self._entered.discard(self)
        if self._sink:
            self._background.call(self._upstreams.detach, self.query.scope, self._sink)
            self._sink = None
        self._fail(FailedPreconditionError("the stream is closed"))

    def _fail(self, error: DiscoveryError) -> None:
        """End the stream with `error`, unless it has ended already."""
        self._error = self._error or error
        self._wake()

    # ---- the view

    @property
    def instances(self) -> Mapping[InstanceId, Instance]:
        """The current view, id to instance; what is returned does not change afterwards.

        Streams share instances: take their cards and transports as read-only.
        """
        return (self._given if self._is_iterated else self._newest).get()

    @property
    def revision(self) -> int:
        """The registry revision that `instances` equals, -1 before the first."""
        return (self._given_status if self._is_iterated else self._status).revision

    @property
    def epoch(self) -> str | None:
        """Within which `revision` is to be compared; None before the first answer."""
        return (self._given_status if self._is_iterated else self._status).epoch

    @property
    def staleness_s(self) -> float:
        """Seconds since the view was last proven to equal the registry; infinite before that."""
        return monotonic_s() - self._status.proven_at

    @property
    def state(self) -> StreamState:
        """`syncing` before the first snapshot, then `live`, `stale` or `recovering`.

        Once closed or refused a stream is `stale`: nothing proves it any more.
        """
        return StreamState.STALE if self._error else self._status.state

    @property
    def is_recovering(self) -> bool:
        """Instances are shown that a restarted daemon has not heard from yet."""
        return self._status.is_recovering

    async def synced(self) -> None:
        """Wait until the first snapshot is complete. Raises what the query was refused with."""
        await self._until(lambda: self._status.is_synced and not self._error)
        self._seen = self._version

    async def reached(self, revision: int) -> None:
        """Wait until `instances` is at `revision` of the current epoch, or later.

        For whoever iterates, and so cannot move on while waiting here, it means the newest view,
        to which its next events lead.
        """
        await self.synced()
        if self._status.revision < revision:
            self._background.call(self._upstreams.want, self.query.scope, revision)
            await self._until(lambda: self._status.revision >= revision)
        if asyncio.current_task() is not self._reader:
            await self._until(lambda: self.revision >= revision)
        self._seen = self._version

    async def changed(self) -> None:
        """Wait for a change of the view or of `state` since this last returned.

        The same goes for `synced` and `reached`. So a loop that looks and then waits misses none,
        however long looking takes.
        """
        before = self._seen
        await self._until(lambda: self._version != before)
        self._seen = self._version

    # ---- events

    def __aiter__(self) -> AsyncIterator[Event]:
        events = _Events(self)
        self._iterator = weakref.ref(events)
        return events

    async def __anext__(self) -> Event:
        """Return the next event; `async for` does this, and keeps `instances` at its position."""
        self._reader = asyncio.current_task()
        while not self._undelivered:
            await self._until(lambda: bool(self._outbox))
            self._hand_over(self._outbox.take())
        return self._undelivered.popleft()

    @property
    def _is_iterated(self) -> bool:
        return self._iterator is not None and self._iterator() is not None

    def _hand_over(self, events: Iterable[Event]) -> None:
        self._given_status = self._status
        self._wake()
        for event in events:
            match event:
                case Added():
                    self._given.change(event.instance.id, event.instance)
                case _:
                    self._given.change(event.id, None)
            self._undelivered.append(event)

    # ---- what the I/O thread sends

    def _receive(self, shown: Sequence[Shown], status: Status) -> None:
        if self._sink is None:
            return
        if shown or status.state != self._status.state:
            self._version += 1
        self._status = status
        self._outbox.push(shown)
        for change in shown:
            instance = change.item.instance if change.item else None
            if instance is not None:
                self._ids[change.key] = instance.id
                self._newest.change(instance.id, instance)
            elif change.key in self._ids:
                self._newest.change(self._ids.pop(change.key), None)
        if status.error:
            self._error = self._error or status.error
        if not self._outbox:
            self._given_status = status
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._error:
                raise self._error.with_traceback(None)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)


class _Events:
    """One `async for` over a stream; as long as it lives, the stream's view follows it."""

    def __init__(self, stream: WatchStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._stream.__anext__()
