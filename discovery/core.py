"""A registry at work: store, replica, registry and service, without any address.

`daemon` gives it addresses and signals; `embedded` runs it inside the process that uses it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from discovery.artifacts.node import Node
from discovery.books import Books
from discovery.feed import Feed
from discovery.messages import (
    EVENT_TOPIC,
    beat_to_wire,
    beat_topic,
    event_to_wire,
    event_topic,
    goodbye_to_wire,
)
from discovery.recovery import Recovery
from discovery.registry import Registry
from discovery.replica import Replica
from discovery.service import Service
from discovery.stores import open_store
from transports.codec import JSON, MSGPACK
from transports.frame import pack
from transports.scope import running

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from discovery.protocol import Event, Record
    from discovery.settings import DaemonSettings
    from transports.codec import Codec
    from transports.pubsub import Publisher
    from transports.rpc import Handler, Reply, RpcServer

logger = logging.getLogger(__name__)

_VERSION = version("discoveryd")  # read from files, so before any event loop runs
_CODECS = (MSGPACK, JSON)
_STORE_HISTORY = 1024  # revisions: the replica is never further behind, and the feed has its own
_RING_BYTES = 64 << 20
_PART_BYTES = 256 << 10  # of raw records: half a frame's limit even if every character is escaped
_LAST_ANSWERS_S = 0.1
_LATE_AFTER_S = 0.5  # a beat this late means that nothing else was served either


class Core:
    """Everything of a daemon that is not a socket. Enter it within a running event loop.

    Args:
        settings: of the daemon.
        rng: draws the names of this life and of the store's epoch.
        now_ms: wall clock, for what people are told.
        environ: has the secrets of sources of files.
        data: the folder of the daemon's data, None where it has none.
    """

    def __init__(
        self,
        settings: DaemonSettings,
        *,
        rng: random.Random,
        now_ms: Callable[[], int],
        environ: Mapping[str, str] = MappingProxyType({}),
        data: Path | None = None,
    ) -> None:
        self.daemon = f"{rng.getrandbits(64):016x}"
        self.recovery = Recovery(settings.lease.recovery_s)
        self.pauses = 0
        self.published = 0
        self._settings = settings
        self._publishers: list[Publisher] = []
        self._servers: list[RpcServer] = []
        self._was_cut_off = False
        self._store_pauses = 0
        self._beat_due = 0.0
        self._requests = asyncio.TaskGroup()
        self._answers: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        watch = settings.watch
        self.store = open_store(settings.store, history_revisions=_STORE_HISTORY, rng=rng)
        self.feed = Feed(
            daemon=self.daemon,
            window_beats=watch.window_beats,
            ring_changes=watch.history_revisions,
            ring_bytes=_RING_BYTES,
            part_bytes=_PART_BYTES,
        )
        self.replica = Replica(
            self.store,
            self.feed,
            publish=self._publish,
            is_doubtful=self._is_doubtful,
            now_ms=now_ms,
            compare_s=settings.registry.compare_s,
        )
        self.registry = Registry(
            self.store,
            self.replica,
            leases=settings.lease,
            limits=settings.limits,
            generation=settings.registry.event_generation,
        )
        node = Node(settings.artifacts, environ, data)
        self.books = Books(
            self.store,
            self.registry,
            self.replica,
            max_record_bytes=settings.limits.max_record_bytes,
            now_ms=now_ms,
            node=node,
            daemon=self.daemon,
        )
        self.service = Service(
            store=self.store,
            replica=self.replica,
            registry=self.registry,
            is_recovering=self._is_recovering,
            is_doubtful=self._is_doubtful,
            watch=watch,
            about={
                "daemon": self.daemon,
                "version": _VERSION,
                "store": settings.store,
                "beat_interval_s": watch.beat_interval_s,
                "event_generation": settings.registry.event_generation,
                "recovery_s": settings.lease.recovery_s,
                "started_ms": now_ms(),
            },
            now_ms=now_ms,
            books=self.books,
        )

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._beat_due = self._now()
        self.recovery.begin(self._beat_due)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.store)
            await stack.enter_async_context(self.replica)
            self._beat_due = self._now()  # none was due while the store was loaded
            self.recovery.begin(self._beat_due)
            await stack.enter_async_context(self._requests)
            self.books.artifacts.work_in(self._requests)
            await stack.enter_async_context(running(self._beat_for_ever()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._answers:
            await asyncio.wait(self._answers, timeout=_LAST_ANSWERS_S)
        for task in self._answers:
            task.cancel()  # it waits for what will not come: its client asks elsewhere
        self.books.artifacts.stop()
        await self._stack.aclose()

    def publish_on(self, publisher: Publisher) -> None:
        """Publish EVENTs and BEATs there as well, from now on."""
        self._publishers.append(publisher)

    def listen_by(self, server: RpcServer) -> None:
        """Believe no lease's end while workers cannot reach this server, from now on."""
        self._servers.append(server)

    def say_goodbye(self) -> None:
        """Tell those who listen to look for another daemon."""
        for codec in _CODECS:
            self._send(codec, beat_topic(codec.name), goodbye_to_wire(self.daemon))

    def handler(self, events: str) -> Handler:
        """Return what answers requests; clients are told to listen for events at `events`."""
        group, answers = self._requests, self._answers

        def handle(data: bytes, reply: Reply) -> None:
            task = group.create_task(self.service.answer(data, reply, events=events))
            answers.add(task)
            task.add_done_callback(answers.discard)

        return handle

    # ---- publishing

    def _publish(self, events: Sequence[Event[Record]]) -> None:
        for codec in _CODECS:
            if not any(p.has_subscribers(f"{EVENT_TOPIC}{codec.name}/") for p in self._publishers):
                continue
            for event in events:
                topic = event_topic(codec.name, event.scope)
                self._send(codec, topic, event_to_wire(event))

    async def _beat_for_ever(self) -> None:
        interval_s = self._settings.watch.beat_interval_s
        while True:
            self._notice_pauses()
            self._beat()
            self._beat_due = max(self._beat_due + interval_s, self._now())
            await asyncio.sleep(self._beat_due - self._now())

    def _beat(self) -> None:
        self.replica.drain()  # a BEAT vouches for its head at the moment it is made
        beats = self.feed.beat(
            is_recovering=self._is_recovering(), age_s=self.store.age_s(), time_s=self._now()
        )
        for codec in _CODECS:
            for beat in beats:
                self._send(codec, beat_topic(codec.name), beat_to_wire(beat))

    def _send(self, codec: Codec, topic: str, message: dict[str, object]) -> None:
        """Publish to whoever may listen; what nobody listens to is not even encoded."""
        publishers = [p for p in self._publishers if p.has_subscribers(topic)]
        if publishers:
            payload = pack(codec, message)
            for publisher in publishers:
                publisher.publish(topic, payload)
            self.published += 1

    def _notice_pauses(self) -> None:
        """After a pause this daemon may be the one that did not hear the workers: recover."""
        late_s = self._now() - self._beat_due
        is_late = late_s > _LATE_AFTER_S
        if is_late or self.store.pauses != self._store_pauses:
            self.pauses += 1
            self._store_pauses = self.store.pauses
            if is_late:
                logger.warning("stood still, recovering", extra={"late_s": round(late_s, 3)})
            else:
                logger.warning("the store was away or stood still, recovering")
            self.recovery.begin(self._now())
            self._beat_due = max(self._beat_due, self._now())
        self._notice_silence()

    def _notice_silence(self) -> None:
        """Who could not be heard is not dead: while we are cut off, and for a recovery after it."""
        is_cut_off = any(server.is_cut_off for server in self._servers)
        if is_cut_off and not self._was_cut_off:
            self.pauses += 1
            logger.warning("cut off from workers, recovering when they can reach us again")
        if is_cut_off or self._was_cut_off:
            self.store.renew_all()
            self.recovery.begin(self._now())
        if self._was_cut_off and not is_cut_off:
            logger.info("workers can reach us again, recovering")
        self._was_cut_off = is_cut_off

    def _is_recovering(self) -> bool:
        self._notice_pauses()
        return self.recovery.is_on(self._now())

    def _is_doubtful(self) -> bool:
        """Only a store that outlives its daemons can end a lease that nobody was there to renew."""
        return self.store.registry_id is not None and self._is_recovering()

    def _now(self) -> float:
        return self._loop.time()
