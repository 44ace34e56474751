"""Requests to one daemon, and what it publishes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from discovery.errors import (
    DiscoveryError,
    InvalidArgumentError,
    UnavailableError,
    error_from_wire,
)
from discovery.fields import Fields
from discovery.specwire import spec_to_wire
from transports.address import parse_url
from transports.errors import TransportError
from transports.frame import pack, unpack
from transports.nats.url import prefix_of, with_prefix
from transports.opening import open_rpc_client, open_subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transports.address import Address
    from transports.codec import Codec
    from transports.pubsub import Subscriber

PROTOCOL = 1
_HELLO_S = 0.5
_LATE_AFTER_S = 0.05
_REMEMBERED = 16
_ANSWERED_LATE = frozenset({"hello", "grant", "keep_alive", "revoke"})
_HELLO_PAUSE_S = 0.05


class NoAnswerError(UnavailableError):
    """Nobody was reached, or nobody answered in time: unlike a daemon that says it cannot."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: the maps of its chunks in order, and its result."""

    result: Mapping[str, object]
    chunks: list[Mapping[str, object]]


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    future: asyncio.Future[Answer]
    within_s: float
    due: float
    chunks: list[Mapping[str, object]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    was_late: bool = False


class Link:
    """One daemon at one address. Enter it, then say `hello`.

    Args:
        address: where it takes requests.
        codec: for requests; answers come in the same.
        on_message: gets topic and payload of what the daemon publishes on subscribed topics.
    """

    def __init__(
        self, address: Address, codec: Codec, on_message: Callable[[str, bytes], None]
    ) -> None:
        self.address = address
        self.codec = codec
        self.rejected = 0
        self.heard_at = float("-inf")
        """When the last reply came, by the loop's clock; a late one too."""
        self._on_message = on_message
        self._rpc = open_rpc_client(address, self._on_reply)
        self._events: Address | None = None
        self._subscriber: Subscriber | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._given_up: dict[int, bytes] = {}
        self._correlation = 0
        self._is_closed = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._stack.enter_async_context(self._rpc)
        except TransportError as error:
            raise self._unreachable(str(error)) from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._is_closed = True
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(self._unreachable("the connection was closed"))
        async with self._opening:
            await self._stack.aclose()

    async def hello(self, client: str, within_s: float) -> Mapping[str, object]:
        """Wait for a connection and ask the daemon who it is. Raises `UnavailableError` in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._rpc.ready()
        except (TimeoutError, TransportError):
            raise self._unreachable("nobody answers there") from None
        answer = await self._greeting({"client": client, "protocol": PROTOCOL}, deadline)
        try:
            self._events = events_address(self.address, answer.result.get("events"))
        except TransportError as error:
            raise self._unreachable(f"it names an unusable events address: {error}") from error
        return answer.result

    async def _greeting(self, fields: Mapping[str, object], deadline: float) -> Answer:
        """Say hello until somebody answers: what a daemon that stops has taken in is lost."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = max(0.01, deadline - loop.time())
            try:
                return await self.call("hello", fields, min(left_s, _HELLO_S))
            except NoAnswerError:
                if left_s <= _HELLO_S:
                    raise
                await asyncio.sleep(_HELLO_PAUSE_S)

    async def call(self, op: str, fields: Mapping[str, object], within_s: float) -> Answer:
        """Send one request and return its answer, if `within_s` never pass without a part of it.

        A late answer to a lease's request that was given up answers one that is the same to the
        byte, too: a slow daemon is not asked in vain. Of others it may say what is not true any
        more. A moment in which this process stood still does not count: what was answered meanwhile
        is still unread.
        Raises the error that the daemon answered, or `UnavailableError` when there was no answer.
        """
        self._correlation += 1
        number = self._correlation
        loop = asyncio.get_running_loop()
        try:
            payload = pack(self.codec, {"op": op, **_to_wire(fields)})
            waiting = _Waiting(payload, loop.create_future(), within_s, loop.time() + within_s)
            self._waiting[number] = waiting
            self._rpc.send(number, payload)
            self._watch_time(op, number, waiting)
            return await waiting.future
        except TransportError as error:
            if error.retryable:
                raise self._unreachable(str(error)) from error
            raise InvalidArgumentError(f"{op}: {error}") from error
        finally:
            ended = self._waiting.pop(number, None)
            if ended and ended.timer:
                ended.timer.cancel()

    def _watch_time(self, op: str, number: int, waiting: _Waiting) -> None:
        """Fail who waits when it is time; the first time that this comes late, a little later."""
        loop = asyncio.get_running_loop()
        late_s = loop.time() - waiting.due
        if waiting.future.done():
            return
        if late_s > _LATE_AFTER_S and not waiting.was_late:
            waiting.was_late = True
            waiting.due += late_s + min(late_s, waiting.within_s)
        elif late_s >= 0:
            why = f"no answer to {op} within {waiting.within_s:.3g} s"
            waiting.future.set_exception(self._unreachable(why))
            if op in _ANSWERED_LATE:
                self._give_up(number, waiting.payload)
            return
        waiting.timer = loop.call_at(waiting.due, self._watch_time, op, number, waiting)

    def _give_up(self, number: int, payload: bytes) -> None:
        self._given_up[number] = payload
        if len(self._given_up) > _REMEMBERED:
            del self._given_up[next(iter(self._given_up))]

    def _copy_of(self, number: int) -> _Waiting | None:
        """Return who waits for the answer to what was given up under `number`."""
        payload = self._given_up.pop(number, None)
        return next((it for it in self._waiting.values() if it.payload == payload), None)

    async def subscribe(self, prefix: str) -> None:
        """Hear what is published under `prefix`; returns when nothing of it is missed any more."""
        try:
            subscriber = await self._opened_subscriber()
            await subscriber.subscribe(prefix)
        except TransportError as error:
            raise self._unreachable(str(error)) from error

    def unsubscribe(self, prefix: str) -> None:
        """Undo one `subscribe`."""
        if self._subscriber:
            self._subscriber.unsubscribe(prefix)

    async def _opened_subscriber(self) -> Subscriber:
        async with self._opening:
            if self._is_closed:
                raise self._unreachable("the connection was closed")
            if self._events is None:
                raise self._unreachable("it has not said where it publishes")
            if self._subscriber is None:
                subscriber = open_subscriber(self._events, self._on_message)
                self._subscriber = await self._stack.enter_async_context(subscriber)
            return self._subscriber

    def _on_reply(self, number: int, payload: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        waiting = self._waiting.get(number) or self._copy_of(number)
        if waiting is None or waiting.future.done():
            return
        try:
            _, value = unpack(payload)
            fields = Fields("answer", value)
            if fields.has("chunk"):
                waiting.chunks.append(_as_map(value))
                waiting.due = self.heard_at + waiting.within_s
            elif fields.has("error"):
                waiting.future.set_exception(error_from_wire(fields.raw("error")))
            else:
                waiting.future.set_result(Answer(_as_map(fields.raw("ok")), waiting.chunks))
        except (TransportError, DiscoveryError) as error:
            self.rejected += 1
            waiting.future.set_exception(self._unreachable(f"unreadable answer: {error}"))

    def _unreachable(self, why: str) -> NoAnswerError:
        return NoAnswerError(f"{self.address}: {why}")


def events_address(own: Address, told: object) -> Address:
    """Return where a daemon that is reached at `own` publishes, who tells to listen at `told`.

    On NATS that is said by its subjects: how to get there, each client knows itself. Raises
    `AddressError`.
    """
    address = parse_url(str(told))[0]
    if own.scheme == address.scheme == "nats":
        return with_prefix(own, prefix_of(address))
    return own.with_port(address.port or 0) if address.is_wildcard else address


def _as_map(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"answer: expected a map, got {type(value).__name__}")
    return value


def _to_wire(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields with specs and ids in their wire form."""
    wire = dict(fields)
    specs, ids = fields.get("specs"), fields.get("ids")
    if isinstance(specs, list | tuple):
        wire["specs"] = [spec_to_wire(spec) for spec in specs]
    if isinstance(ids, list | tuple):
        wire["ids"] = [str(identity) for identity in ids]
    return wire
