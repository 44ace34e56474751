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
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, Self

import nats.errors
from nats.aio.client import Client
from nats.protocol.parser import Parser

from transports.errors import BacklogFullError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from transports.nats.url import NatsUrl

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""How many messages may wait to be sent."""

_MOST_WAITING_BYTES: Final = 64 << 20
_MAX_PAYLOAD: Final = 1 << 20
_CONNECT_S: Final = 2
_PING_S: Final = 1  # a server that says nothing is left when a third answer is due
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_CLOSE_S: Final = 1.0
_NOBODY: Final = "503"  # of NATS for a message with a reply subject that nobody subscribes to
_LOST: Final = (OSError, TimeoutError, nats.errors.Error, UnreachableError)
_CUT: Final = (*_LOST, RuntimeError)
"""What writing may raise; the last is uvloop's, for what is closed already."""


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


class _Parser(Parser):
    """nats-py's, which takes everything that is read for a sign of life.

    nats-py waits for the answer to its ping, which comes after all else that is under way.
    """

    async def parse(self, data: bytes = b"") -> None:
        if data:
            self.nc._pings_outstanding = 0  # noqa: SLF001 - what it counts by
        await super().parse(data)


class _Client(Client):
    """nats-py's, for one connection.

    Args:
        is_tls: it would also speak in the clear to a server that does not encrypt; ours does not.
        on_end: is called when the connection has ended.
    """

    def __init__(self, *, is_tls: bool, on_end: Callable[[], None]) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._is_tls, self._on_end = is_tls, on_end
        self.has_ended = False
        self._why: Exception | None = None

    async def open(self, server: str, let_in: Mapping[str, Any]) -> None:
        """Connect to one server. Raises one of `_LOST`."""
        try:
            await self.connect(
                servers=[f"nats://{server}"],
                name="discoveryd",
                allow_reconnect=False,
                connect_timeout=_CONNECT_S,
                reconnect_time_wait=0,
                max_reconnect_attempts=1,
                ping_interval=_PING_S,
                max_outstanding_pings=2,
                flush_timeout=_CLOSE_S,
                skip_subject_validation=True,
                error_cb=self._note,
                closed_cb=self._end,
                **let_in,
            )
        except nats.errors.NoServersError:
            raise self.why() from None
        except _LOST:
            raise
        except Exception as error:  # such as for a file without a key in it
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    def why(self) -> Exception:
        """Return why there is no connection, or none any more."""
        return self._why or UnreachableError("the connection was lost")

    @property
    def is_cut(self) -> bool:
        """Nothing can be written any more."""
        writer = getattr(self._transport, "_io_writer", None)
        return writer is None or writer.is_closing()

    async def _note(self, error: Exception) -> None:
        self._why = error

    async def _end(self) -> None:
        self.has_ended = True
        self._on_end()

    async def _process_op_err(self, e: Exception) -> None:
        """End for an error, at once: nats-py would wait until a silent server took the rest."""
        if self._transport:
            self._transport._io_writer.transport.abort()  # type: ignore[attr-defined] # noqa: SLF001
        await super()._process_op_err(e)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002
        """End. nats-py's own gives up midway when it can write no more, and calls nobody back."""
        try:
            await super()._close(status, do_cbs)
        except _CUT as error:
            self._why = self._why or UnreachableError(str(error))
            await self._end()

    async def _process_info(
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002 - nats-py's signature
    ) -> None:
        if initial_connection and self._is_tls and not info.get("tls_required"):
            raise nats.errors.Error("it does not encrypt, and tls=1 was asked for")
        await super()._process_info(info, initial_connection)


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
        self._client: Client | None = None
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
        with suppress(*_CUT):
            async with asyncio.timeout(within_s):
                while self._client is not None and (self._outgoing or self._changes):
                    await self._told(self._draining)
                if self._client is not None:
                    await self._client.flush()

    # ---- the connection

    async def _stay_connected(self) -> None:
        pause_s = _FIRST_PAUSE_S
        for server in cycle(self._url.servers):
            if self._is_closed:
                return
            self._was_up = False
            try:
                self._let_in = await asyncio.to_thread(_ways_in, self._url)  # files may change
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
        client = _Client(is_tls=self._url.is_tls, on_end=self._wanted.set)
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
        except _CUT as error:
            if isinstance(error, RuntimeError) and not client.is_cut:
                raise
            self._note(server, error)
        finally:
            self._client = None
            self._outgoing.clear()
            self._outgoing_bytes = 0
            _tell(self._draining)
            with suppress(*_CUT, AssertionError):  # the latter of one that was not even begun
                async with asyncio.timeout(_CLOSE_S):
                    await client.close()

    async def _write(self, client: _Client) -> None:
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

    async def _subscribe(self, client: Client, subscription: Subscription) -> None:
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
            logger.log(
                logging.WARNING if self._was_up else logging.DEBUG,
                "connection to NATS lost" if self._was_up else "no connection to NATS",
                extra={"server": server, "why": why},
            )


def _tell(waiting: set[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)


def _ways_in(url: NatsUrl) -> dict[str, Any]:
    """Return nats-py's options for logging in and encryption. Raises OSError for a file."""
    options: dict[str, Any] = {}
    if url.user is not None and url.password_file is not None:
        options |= {"user": url.user, "password": _secret(url.password_file)}
    if url.token_file is not None:
        options["token"] = _secret(url.token_file)
    if url.nkey_file is not None:
        options["nkeys_seed_str"] = _secret(url.nkey_file)
    if url.creds_file is not None:
        options["user_credentials"] = str(url.creds_file)
    if url.is_tls:
        context = ssl.create_default_context(cafile=url.ca)
        if url.cert is not None:
            context.load_cert_chain(url.cert, url.key)
        options["tls"] = context
    return options


def _secret(file: Path) -> str:
    return file.read_text().removesuffix("\n").removesuffix("\r")
