"""A subscriber to events, which finds their publishers through discovery."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Self

from discovery import config
from discovery.background import Hosted, background_io
from discovery.errors import (
    DiscoveryError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from discovery.eventplane.channels import Channels
from discovery.eventplane.choosing import nats_address
from discovery.eventplane.handover import Handover, Limits
from discovery.eventplane.items import EventCounters
from discovery.eventplane.naming import (
    BROKER_COMPONENT,
    brokers_of,
    check_scope,
    sent_by_detail,
    subject,
    topic_name,
)
from discovery.eventplane.networks import Networks, NoInlet
from discovery.eventplane.reception import Reception
from discovery.events import Added, Removed
from discovery.eventtransport import ZmqBrokerTransport
from discovery.ids import EventChannelId
from discovery.instance import EventChannelInstance
from discovery.names import shown
from discovery.query import EventChannelQuery
from transports.errors import TransportError
from transports.nats.url import is_subject
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from discovery.background import Background
    from discovery.client import Discovery
    from discovery.eventplane.items import EventItem
    from discovery.eventplane.seam import Inlet
    from discovery.events import Event
    from discovery.watch import WatchStream


class EventSubscriber:
    """Receives the events of all publishers of one topic, from `async with` until its end.

    Enter it, then iterate: over messages, and over what is known of those that did not come. It
    finds publishers as they come, move and go. Events are received by the process's I/O thread
    also while the reader is busy; when too many wait, the oldest are dropped, and the reader is
    told which. What discovery is cut off from stays connected. Iterating raises only when the
    subscriber, or the connection of `d`, is closed.

    Args:
        d: the way into the registry; entered, and longer than this.
        topic: what the events are about.
        namespace: topmost name of whose events to receive.
        component: name below it; None stands for all, and for those of the namespace itself.
        endpoint: name below that; None stands for all, and for those of the component itself.
        max_items: how many items may wait for the reader, at least 1.
        max_bytes: of how many bytes, at least 1.
        nats: the NATS servers that publishers send to, as for `EventPublisher`.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    def __init__(
        self,
        d: Discovery,
        *,
        topic: str,
        namespace: str,
        component: str | None = None,
        endpoint: str | None = None,
        max_items: int = 100_000,
        max_bytes: int = 256 << 20,
        nats: str | None = None,
    ) -> None:
        check_scope(topic, namespace, component, endpoint)
        for name, value in (("max_items", max_items), ("max_bytes", max_bytes)):
            if type(value) is not int or value < 1:
                raise InvalidArgumentError(f"{name} {shown(value)}: expected 1 or more")
        self._nats = nats_address(nats, config.process_environment(), d.url)
        self._d = d
        self._topic, self._namespace = topic, namespace
        self._component, self._endpoint = component, endpoint
        self._limits = Limits(max_items, max_bytes)
        channels = EventChannelQuery(namespace=namespace, component=component)
        self._queries = {channels, brokers_of(namespace)} if component else {channels}
        self._batches: deque[Sequence[EventItem]] = deque()
        self._current: deque[EventItem] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: DiscoveryError | None = FailedPreconditionError(
            "the subscriber is not entered: use `async with EventSubscriber(…) as s`"
        )
        self._is_closed = False
        self._io: Background | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to find publishers; does not wait for any."""
        if self._io is not None:
            raise FailedPreconditionError("entered already: each `async with` takes its own")
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            self._io = await stack.enter_async_context(background_io())
            self._handover = Handover(self._limits, loop, self._deliver)
            self._reception = Reception(self._topic, self._handover.put)
            hosted = Hosted(self._io, self._receiving())
            stack.push_async_callback(hosted.aclose)
            self._channels = await hosted.enter()
            self._streams = [
                await stack.enter_async_context(self._d.watch(query)) for query in self._queries
            ]
            await stack.enter_async_context(running(*map(self._follow, self._streams)))
            self._error = None
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of all publishers; who iterates is told so. Closing again does nothing."""
        self._end(FailedPreconditionError("the subscriber is closed"))
        self._is_closed = True
        self._batches.clear()
        self._current.clear()
        await self._stack.aclose()

    # ---- reading

    def __aiter__(self) -> AsyncIterator[EventItem]:
        return self

    async def __anext__(self) -> EventItem:
        """Return the next item; `async for` does this. One task at a time."""
        if self._current:
            return self._current.popleft()
        await asyncio.sleep(0)  # others have a turn too when events come without end
        while not self._batches:
            if self._error:
                raise self._error.with_traceback(None)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._current.extend(self._batches.popleft())
        assert self._io is not None  # noqa: S101 - somebody has put the batch there
        self._io.call(self._handover.acknowledge)
        return self._current.popleft()

    @property
    def counters(self) -> EventCounters:
        """What was counted so far, also of what the reader has not been given yet."""
        if self._io is None:
            return EventCounters()
        return self._reception.counters()

    async def synced(self) -> None:
        """Wait until a first view of the publishers is known, and all of them being connected to.

        If it is known where NATS is, that server has the subscriptions then, and while it is away
        this waits for it. On ZMQ each publisher knows by itself who subscribes. Raises
        `UnavailableError` when NATS refuses a subscription.
        """
        if self._io is None or self._error:
            raise self._error or FailedPreconditionError("the subscriber is closed")
        try:
            for stream in self._streams:
                await stream.reached(0)  # that is, told to the I/O thread
            await self._io.run(self._channels.settled())
        except TransportError as error:
            raise self._error or UnavailableError(str(error)) from None
        except DiscoveryError as error:
            raise self._error or error from None

    # ---- inside

    @asynccontextmanager
    async def _receiving(self) -> AsyncGenerator[Channels]:
        """Receive, on the I/O thread."""
        from discovery.eventplane.direct import ZmqInlet  # noqa: PLC0415 - it imports ZMQ

        zmq = ZmqInlet(
            self._topic,
            subjects_of=self._subjects_of,
            on_event=self._reception.receive,
            on_reject=self._reception.reject,
        )
        async with Networks(zmq, self._nats_inlet()) as inlet:
            channels = Channels(inlet, self._reception)
            try:
                yield channels
            finally:
                channels.close()

    def _nats_inlet(self) -> Inlet:
        """Return what receives over NATS; it hears already what our own scope's subjects say."""
        try:
            from discovery.eventplane.onnats import NatsInlet  # noqa: PLC0415 - an extra
        except ImportError:
            return NoInlet("needs the extra `nats`: `pip install discoveryd[nats]`")
        names = sorted({topic_name(self._topic, "a"), topic_name(self._topic, "b")})
        inlet = NatsInlet(self._nats, names, self._reception.receive_bare)
        inlet.expect([one for one in self._own_subjects() if is_subject(one)])
        return inlet

    def _subjects_of(self, channel: EventChannelInstance) -> Sequence[str]:
        """Return what brokers call the events: of a broker itself, those of this scope."""
        names = self._own_subjects()
        if channel.component != BROKER_COMPONENT:
            names = _subjects(channel.id)
        self._reception.names.update(name.encode() for name in names)
        return names

    def _own_subjects(self) -> Sequence[str]:
        return _subjects(
            EventChannelId(
                namespace=self._namespace,
                component=self._component,
                endpoint=self._endpoint,
                topic=self._topic,
                instance_id=0,
            )
        )

    async def _follow(self, stream: WatchStream) -> None:
        """Tell the I/O thread which channels there are."""
        assert self._io is not None  # noqa: S101 - entered
        try:
            async for event in stream:
                self._io.call(partial(self._change, event))
        except DiscoveryError as error:
            self._end(error)

    def _change(self, event: Event) -> None:
        match event:
            case Added(instance=instance):
                if isinstance(instance, EventChannelInstance) and self._is_wanted(instance):
                    self._channels.add(instance)
            case Removed(id=identity, detail=detail):
                if isinstance(identity, EventChannelId):
                    self._channels.remove(identity, sent_by_detail(detail))

    def _is_wanted(self, channel: EventChannelInstance) -> bool:
        if channel.component == BROKER_COMPONENT:
            return isinstance(channel.transport, ZmqBrokerTransport)
        return (
            channel.topic == self._topic
            and channel.namespace == self._namespace
            and self._component in {None, channel.component}
            and self._endpoint in {None, channel.endpoint}
        )

    def _deliver(self, batch: Sequence[EventItem]) -> None:
        if not self._is_closed:
            self._batches.append(batch)
            self._wake()

    def _end(self, error: DiscoveryError) -> None:
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _subjects(channel: EventChannelId) -> Sequence[str]:
    """Return what a channel's events may be called, in both generations."""
    return sorted({subject(channel, "a"), subject(channel, "b")})
