"""One connection to a NATS cluster, made anew whenever it is lost.

nats-py does the protocol, for one connection at a time. What it would do after a loss is done here:
it ends for good when the server calls it a slow consumer, and keeps a message that was never sent.
Messages are handed over as they are read, in their order over all subscriptions; nats-py would have
a queue and a task for each of these.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, Self

import nats.errors

from transports.errors import BacklogFullError, UnreachableError
from transports.nats.client import CLOSE_S, CUT, NatsClient, ways_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transports.nats.url import NatsUrl

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""How many messages may wait to be sent."""

_MOST_WAITING_BYTES: Final = 64 << 20
_MAX_PAYLOAD: Final = 1 << 20
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_LONGEST_FLUSH_S: Final = 3600  # a connection that is silent ends much sooner
_NOBODY: Final = "503"  # of NATS for a message with a reply subject that nobody subscribes to


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came; `is_nobody`: the server says that nobody got what we sent."""

    subject: str
    reply: str
    payload: bytes
    is_nobody: bool


@dataclass(slots=True, eq=False)
class Subscription:
    """A subject that we hear, in which queue group, and who is given what comes."""

    subject: str
    queue: str
    on_message: Callable[[Received], None]
    raw: Any = None
    """nats-py's own, while there is a connection."""


class NatsConnection:
    """A connection to one server of a cluster at a time. To be used within one event loop.

    Args:
        url: where, and how to be let in.
        most_waiting: how many messages may wait to be sent.
    """

    def __init__(self, url: NatsUrl, *, most_waiting: int = MOST_WAITING) -> None:
        self._url, self._most_waiting = url, most_waiting
        self._subscriptions: dict[Subscription, None] = {}
        self._by_sid: dict[int, Subscription] = {}
        self._outgoing: deque[tuple[str, bytes, str]] = deque()
        self._outgoing_bytes = 0
        self._changes: deque[tuple[Subscription, bool]] = deque()
        self._client: NatsClient | None = None
        self._why: str | None = None
        self._max_payload = _MAX_PAYLOAD
        self._waiting: set[asyncio.Future[None]] = set()  # for a connection, or for the end
        self._draining: set[asyncio.Future[None]] = set()  # for all to be handed to nats-py
        self._wanted = asyncio.Event()
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """A connection is there."""
        return self._client is not None

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        self.start()
        return self

    def start(self) -> None:
        """Begin to connect, if that was not begun."""
        if self._task is None and not self._is_closed:
            # Not in a group: who leaves may be another task than who entered.
            self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    async def __aexit__(self, *_: object) -> None:
        """Drop the connection. When this is cancelled, the rest of it still happens."""
        self._is_closed = True
        _tell(self._waiting)
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def up(self) -> None:
        """Wait for a connection. Raises `UnreachableError` when this is closed meanwhile."""
        while not self.is_up:
            if self._is_closed:
                raise UnreachableError("the connection is closed")
            await self._told(self._waiting)

    async def up_within(self, seconds: float) -> None:
        """Wait for a connection. Raises `UnreachableError`, which says why there is none."""
        try:
            async with asyncio.timeout(seconds):
                await self.up()
        except TimeoutError:
            raise UnreachableError(self.why_down()) from None

    @property
    def max_payload(self) -> int:
        """How many bytes the server takes in a message; what is the default before it said so."""
        return self._max_payload

    def why_down(self) -> str:
        """Return why there is no connection, as far as that is known."""
        return self._why or f"no NATS server answers at {', '.join(self._url.servers)}"

    def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Send a message soon. Raises `UnreachableError`, and sends nothing then."""
        if self._client is None:
            raise UnreachableError("closed" if self._is_closed else self.why_down())
        is_full = len(self._outgoing) >= self._most_waiting
        if is_full or self._outgoing_bytes + len(payload) > _MOST_WAITING_BYTES:
            raise BacklogFullError(f"{len(self._outgoing)} messages wait for NATS already")
        self._outgoing.append((subject, payload, reply))
        self._outgoing_bytes += len(payload)
        self._wanted.set()

    def subscribe(
        self, subject: str, on_message: Callable[[Received], None], *, queue: str = ""
    ) -> Subscription:
        """Hear a subject from soon on, also over later connections.

        What is sent after this call is sent after the subscription. `on_message` neither raises
        nor blocks.
        """
        subscription = Subscription(subject, queue, on_message)
        self._subscriptions[subscription] = None
        self._changes.append((subscription, True))
        self._wanted.set()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Hear it no more, from now on."""
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._changes.append((subscription, False))
            self._wanted.set()

    async def flushed(self, within_s: float) -> None:
        """Wait until the server has what was sent before, but not for long."""
        with suppress(*CUT):
            async with asyncio.timeout(within_s):
                await self._flush()

    async def settled(self) -> None:
        """Wait until the server has all subscriptions that were made before.

        Raises `UnreachableError` when it refuses one, or this is closed meanwhile.
        """
        while True:
            await self.up()
            client = self._client
            try:
                await self._flush()
            except CUT:
                while self._client is client:
                    await self._told(self._draining)
            else:
                if client is not None and client.refusal:
                    raise UnreachableError(client.refusal)
                return

    async def _flush(self) -> None:
        """Wait for the answer to all that was handed over before. Raises one of `CUT`."""
        client = self._client
        while self._client is client and (self._outgoing or self._changes):
            await self._told(self._draining)
        if client is not None:
            await client.flush(_LONGEST_FLUSH_S)

    # ---- the connection

    async def _stay_connected(self) -> None:
        pause_s = _FIRST_PAUSE_S
        for server in cycle(self._url.servers):
            if self._is_closed:
                return
            self._was_up = False
            try:
                self._let_in = await asyncio.to_thread(ways_in, self._url)  # files may change
                await self._use(server)
            except OSError as error:
                self._note(server, error)
            except Exception as error:  # an error of ours must not end what would mend it
                logger.exception("connection to NATS failed")
                self._note(server, error)
            if self._was_up:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _use(self, server: str) -> None:
        """Connect, and stay until that connection is lost."""
        client = NatsClient(is_tls=self._url.is_tls, on_end=self._wanted.set)
        by_sid: dict[int, Subscription] = {}
        self._by_sid = by_sid

        def take(**message: Any) -> None:  # noqa: ANN401 - nats-py's own
            """Stand for the class of messages: what comes is handed over, and nothing kept."""
            self._take(by_sid, message)

        client.msg_class = take  # type: ignore[assignment] # it is only called
        try:
            await client.open(server, self._let_in)
            self._changes.clear()
            for subscription in list(self._subscriptions):  # those to come are in _changes
                await self._subscribe(client, subscription)
            await client.flush()
            self._max_payload = client.max_payload
            self._client, self._was_up, self._why = client, True, None
            _tell(self._waiting)
            await self._write(client)
            raise client.why()
        except CUT as error:
            if isinstance(error, RuntimeError) and not client.is_cut:
                raise
            self._note(server, error)
        finally:
            self._client = None
            self._outgoing.clear()
            self._outgoing_bytes = 0
            _tell(self._draining)
            with suppress(*CUT, AssertionError):  # the latter of one that was not even begun
                async with asyncio.timeout(CLOSE_S):
                    await client.close()

    async def _write(self, client: NatsClient) -> None:
        while not (client.has_ended or self._is_closed):
            await self._wanted.wait()
            self._wanted.clear()
            while self._changes:
                subscription, is_new = self._changes.popleft()
                if is_new:
                    await self._subscribe(client, subscription)
                elif subscription.raw is not None:
                    self._by_sid.pop(subscription.raw._id, None)  # noqa: SLF001
                    await subscription.raw.unsubscribe()
            while self._outgoing and not (client.has_ended or self._changes):
                subject, payload, reply = self._outgoing.popleft()
                self._outgoing_bytes -= len(payload)
                try:
                    await client.publish(subject, payload, reply)
                except nats.errors.MaxPayloadError:
                    logger.warning(
                        "larger than NATS takes, dropped",
                        extra={"subject": subject, "bytes": len(payload)},
                    )
            if self._changes:
                self._wanted.set()
            elif not self._outgoing:
                _tell(self._draining)

    async def _subscribe(self, client: NatsClient, subscription: Subscription) -> None:
        subscription.raw = await client.subscribe(subscription.subject, subscription.queue)
        self._by_sid[subscription.raw._id] = subscription  # noqa: SLF001 - what messages name

    def _take(self, by_sid: Mapping[int, Subscription], message: Mapping[str, Any]) -> None:
        subscription = by_sid.get(message["_sid"])
        if subscription is None or subscription not in self._subscriptions:
            return
        headers = message["headers"]
        is_nobody = bool(headers) and headers.get("Status") == _NOBODY
        received = Received(message["subject"], message["reply"], message["data"], is_nobody)
        try:
            subscription.on_message(received)
        except Exception:  # an error of ours must not end nats-py's reading, which nobody would see
            logger.exception("message not taken", extra={"subject": received.subject})

    async def _told(self, waiting: set[asyncio.Future[None]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiting.add(waiter)
        try:
            await waiter
        finally:
            waiting.discard(waiter)

    def _note(self, server: str, error: Exception) -> None:
        why = str(error).removeprefix("nats: ") or type(error).__name__
        if not self._is_closed:
            self._why = f"nats://{server}: {why}"
            extra = {"server": server, "why": why}
            if self._was_up:
                logger.warning("connection to NATS lost", extra=extra)
            else:
                logger.debug("no connection to NATS", extra=extra)


def _tell(waiting: set[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
