"""One watch of etcd: its events, in batches, across whatever happens to the connection."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import AsyncExitStack
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Self

from discovery.errors import DiscoveryError
from discovery.events import Cause
from discovery.store import Batch, Change, CompactedError, Watch
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import WATCH
from discovery.stores.etcd.keyspace import NOT_SAID, Why, causes_of
from discovery.stores.etcd.refusals import EtcdError, RevisionCompactedError, UnreachableError
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from discovery.stores.etcd.calls import Stream
    from discovery.stores.etcd.client import EtcdClient
    from discovery.stores.etcd.keyspace import Keyspace
    from discovery.stores.etcd.line import Line, Loaded

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_DELETE = pb.Event.DELETE


class EtcdWatch:
    """See `discovery.store.Watch`. What is not read waits in etcd, not here.

    Args:
        client: where to look.
        keys: of the registry.
        line: is proven each time the connection is made.
        prefix: what is handed over; all of the registry is watched.
        after: the revision after which it begins.
        loaded: what was loaded at that revision; entered, the watch makes it the line.
        most_waiting: batches that are kept here for who does not read.
        entered: has this watch in it while that is entered.
    """

    def __init__(
        self,
        client: EtcdClient,
        keys: Keyspace,
        line: Line,
        *,
        prefix: str,
        after: int,
        loaded: Loaded | None,
        most_waiting: int,
        entered: dict[EtcdWatch, None],
    ) -> None:
        self.prefix = prefix
        self.received = after
        """All that came up to this revision is here."""
        self.handed_over = after
        self.listening_since: float | None = None
        """When it began to wait for what comes over its connection, None without one; loop time."""
        self.reconnects = 0
        self._client, self._keys, self._line = client, keys, line
        self._loaded, self._most_waiting, self._entered = loaded, most_waiting, entered
        self._arrived: deque[Batch] = deque()
        self._why_broken: str | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._has_room = asyncio.Event()
        self._ends: dict[int, Why] = {}
        self._stream: Stream[pb.WatchRequest, pb.WatchResponse] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._line.prove(self.received, self._loaded)
        if self._loaded is not None:
            self._line.follow(self._loaded)
        self._entered[self] = None
        await self._stack.enter_async_context(running(self._follow()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered.pop(self, None)
        await self._stack.aclose()

    def ready(self) -> Sequence[Batch]:
        """See `Watch`."""
        if self._why_broken is not None:
            raise CompactedError(self._why_broken)
        batches = list(self._arrived)
        self._arrived.clear()
        self._has_room.set()
        self.handed_over = self.received
        return batches

    async def wait(self) -> None:
        """See `Watch`."""
        while not self._arrived and self._why_broken is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._why_broken is not None:
            raise CompactedError(self._why_broken)

    def break_off(self, why: str) -> None:
        """Let nothing more be handed over: all is to be loaded anew."""
        if self._why_broken is None:
            self._why_broken = why
            self._wake()

    def reconnect(self) -> None:
        """Give up the connection, which is silent, for a new one, perhaps to another member."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.hang_up()

    # ---- the connection

    async def _follow(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._why_broken is None:
            before = self.received
            try:
                await self._receive()
            except RevisionCompactedError as error:
                self.break_off(str(error))
            except EtcdError as error:
                self.reconnects += 1
                pause_s = _FIRST_PAUSE_S if self.received > before else pause_s
                logger.info("watch of etcd broke", extra={"why": str(error)})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            await self._prove()

    async def _prove(self) -> None:
        """Before a new connection, see whether it is still the same line."""
        try:
            await self._line.prove(self.received)
        except CompactedError as error:
            self.break_off(str(error))
        except DiscoveryError as error:  # nor will the new connection be there
            logger.info("etcd does not say what it is", extra={"why": str(error)})

    async def _receive(self) -> None:
        start, end = self._keys.range_of("")
        request = pb.WatchCreateRequest(key=start, range_end=end, start_revision=self.received + 1)
        try:
            async with self._client.stream(WATCH) as stream:
                self._stream, self.listening_since = stream, asyncio.get_running_loop().time()
                await stream.send(pb.WatchRequest(create_request=request))
                while self._why_broken is None and not stream.is_left_behind:
                    self._has_room.clear()
                    if len(self._arrived) >= self._most_waiting:
                        await self._has_room.wait()
                    self._take(await stream.receive())
        finally:
            self._stream = self.listening_since = None
        if self._why_broken is None:
            raise UnreachableError("other calls were not answered there, and go elsewhere")

    def _take(self, answer: pb.WatchResponse) -> None:
        if answer.canceled:
            if answer.compact_revision:
                raise RevisionCompactedError(f"compacted up to {answer.compact_revision}")
            raise UnreachableError(answer.cancel_reason or "the watch was cancelled")
        if answer.created and answer.header.revision < self.received:
            self._line.doubt()
            raise UnreachableError("the store went back")
        for revision, events in groupby(answer.events, attrgetter("kv.mod_revision")):
            if revision > self.received:  # after a new connection some come again
                self._take_revision(revision, events)

    # ---- events

    def _take_revision(self, revision: int, events: Iterable[pb.Event]) -> None:
        keys = self._keys
        said: Mapping[str, Why] = {}
        end: Why | None = None
        changes: list[tuple[str, pb.Event]] = []
        for event in events:
            name = keys.name(event.kv.key)
            if name is None:
                continue
            if event.type == _DELETE:
                lease_id = keys.ended_lease(name)
                if lease_id is not None:
                    end = self._ends.pop(lease_id, None) or end or Why(Cause.LEASE_EXPIRED)
            elif event.kv.key == keys.head:
                self._line.wrote(revision, event.kv.value)
                said = causes_of(event.kv.value)
            elif event.kv.key == keys.epoch:
                self._line.on_break("another epoch has begun")
                return
            elif found := keys.why_of(name, event.kv.value):
                self._ends[found[0]] = found[1]
            if not keys.is_books(name) and name.startswith(self.prefix):
                changes.append((name, event))
        self._line.saw(revision)
        self.received = revision
        if changes or not self.prefix:
            made = tuple(self._change(name, event, end, said) for name, event in changes)
            self._arrived.append(Batch(revision, made))
            self._wake()

    def _change(
        self, name: str, event: pb.Event, end: Why | None, said: Mapping[str, Why]
    ) -> Change:
        if event.type == _DELETE:
            why = said.get(name) or end or NOT_SAID
            return Change(name, None, why.cause, why.detail)
        return Change(name, self._keys.entry(name, event.kv))

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


_: type[Watch] = EtcdWatch
