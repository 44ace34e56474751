"""Keeps the feed in step with the store, and tells the world what the feed makes of it."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from contextlib import AsyncExitStack
from operator import itemgetter
from typing import TYPE_CHECKING, Self

from discovery.errors import DiscoveryError, UnavailableError
from discovery.keys import SESSION_PREFIX
from discovery.store import CompactedError
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from discovery.feed import Feed
    from discovery.mirror import Mirror
    from discovery.protocol import Event, Record
    from discovery.store import Batch, Entry, Store, Watch

logger = logging.getLogger(__name__)

_MARKS_KEPT = 100_000
_MARK_EVERY_MS = 1000
_MOST_SHOWN = 5
_RELOAD_AFTER_S = 0.2


class DivergedError(CompactedError):
    """The mirror is not what the store holds: a change never came. All is to be loaded anew."""


class Replica:
    """A mirror of the store that follows it. Enter it to load; it follows until it is left.

    Args:
        store: what is followed, over all prefixes.
        feed: takes in every batch.
        publish: is given the EVENTs of each batch, in order.
        is_doubtful: whether ends of leases may be false at this moment.
        now_ms: wall clock, for telling since when a record has been there.
        compare_s: how often the mirror is compared with the store; 0 for never.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        *,
        publish: Callable[[Sequence[Event[Record]]], None],
        is_doubtful: Callable[[], bool],
        now_ms: Callable[[], int],
        compare_s: float = 0.0,
    ) -> None:
        self.feed = feed
        self.relists = 0
        self.divergences = 0
        """How often the mirror was found not to be what the store holds."""
        self.on_session_end: Callable[[Entry], None] = _ignore
        """Is given the last entry of each session that ends, before anybody hears of it."""
        self._store = store
        self._publish = publish
        self._is_doubtful = is_doubtful
        self._now_ms = now_ms
        self._compare_s = compare_s
        self._watch: Watch | None = None
        self._loaded = asyncio.Event()
        self._arrivals: deque[Batch] = deque()  # handed over by the store, not taken in yet
        self._waiting: dict[asyncio.Future[None], int] = {}  # for which revision
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MARKS_KEPT)  # (revision, wall ms)
        self._stack = AsyncExitStack()

    @property
    def mirror(self) -> Mirror:
        """What the store held at the revision that has been reached."""
        return self.feed.mirror

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(self._follow()))
            await self._loaded.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        for future in self._waiting:
            if not future.done():
                future.set_exception(UnavailableError("this daemon is stopping"))
        self._waiting = {}

    def drain(self) -> None:
        """Take in all that has arrived from the store.

        Synchronous: what is committed is then visible.
        """
        if self._watch is None:
            return
        try:
            self._arrivals.extend(self._watch.ready())
        except CompactedError:
            return  # _follow finds it too, and loads anew
        if not self._arrivals:
            return
        try:
            while self._arrivals:  # one by one: should one fail, the others are not lost with it
                batch = self._arrivals.popleft()
                self._note_session_ends(batch)
                events = self.feed.publish(batch, is_doubtful=self._is_doubtful())
                if events:
                    self._publish(events)
        finally:
            self._arrived()

    async def reached(self, revision: int) -> None:
        """Return once the mirror is at `revision` or later. Callers bound the wait.

        Raises `UnavailableError` when the replica is left first.
        """
        self.drain()
        if self.mirror.revision >= revision:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = revision
        try:
            await future
        finally:
            self._waiting.pop(future, None)

    def since_ms(self, revision: int) -> int:
        """Return a Unix time in ms at which `revision` had surely been reached."""
        at = bisect_left(self._marks, revision, key=itemgetter(0))
        return self._marks[at][1] if at < len(self._marks) else self._now_ms()

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_from_snapshot()
            except CompactedError as error:
                self.relists += 1
                logger.warning("store history lost, loading anew", extra={"why": str(error)})
            except DiscoveryError as error:
                if not (error.retryable and self._loaded.is_set()):
                    raise
                logger.warning("store away, loading anew soon", extra={"why": str(error)})
                await asyncio.sleep(_RELOAD_AFTER_S)

    async def _follow_from_snapshot(self) -> None:
        """Load all there is and follow it. When the store is away, what is known stays."""
        snapshot = await self._store.snapshot("")
        async with self._store.watch("", snapshot.revision) as watch:
            if self._store.epoch != self.feed.epoch:
                self._marks.clear()  # they are of other revisions
            self.feed.start(self._store.epoch, snapshot.revision, snapshot.entries)
            self._arrivals.clear()
            self._watch = watch
            self._arrived()
            self._loaded.set()
            try:
                async with running(self._compare_for_ever()):
                    while True:
                        await watch.wait()
                        self.drain()
            finally:
                self._watch = None

    async def _compare_for_ever(self) -> None:
        """Compare at a low rate: a store may lose changes on their way to its watches.

        etcd did, before 3.4.36 and 3.5.18 (its changelogs).
        """
        while self._compare_s:
            await asyncio.sleep(self._compare_s)
            try:
                await self._compare()
            except DivergedError:
                raise
            except DiscoveryError as error:
                logger.info("not compared", extra={"why": str(error)})

    async def _compare(self) -> None:
        mirror = self.mirror
        revision, ours = mirror.revision, mirror.revisions()
        theirs = await self._store.revisions_at(revision)
        if theirs is None or theirs == ours:
            return
        self.divergences += 1
        different = {key for key, _ in theirs.items() ^ ours.items()}
        logger.error(
            "the mirror is not what the store holds",
            extra={"revision": revision, "keys": sorted(different)[:_MOST_SHOWN]},
        )
        raise DivergedError(f"{len(different)} keys differ from the store's at {revision}")

    def _note_session_ends(self, batch: Batch) -> None:
        for change in batch.changes:
            if change.entry is None and change.key.startswith(SESSION_PREFIX):
                ended = self.mirror.get(change.key)
                if ended:
                    self.on_session_end(ended)

    def _arrived(self) -> None:
        """Note the time, and wake who waited for this revision."""
        revision, now_ms = self.mirror.revision, self._now_ms()
        if not self._marks or now_ms - self._marks[-1][1] >= _MARK_EVERY_MS:
            self._marks.append((revision, now_ms))
        for future, wanted in self._waiting.items():
            if wanted <= revision and not future.done():
                future.set_result(None)


def _ignore(_: Entry) -> None:
    """Take no note."""
