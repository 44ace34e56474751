"""A connection that stays: one daemon at a time, the next one when it does not answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from enum import StrEnum
from itertools import count, cycle
from typing import TYPE_CHECKING, Self

from discovery.errors import (
    DeadlineExceededError,
    DiscoveryError,
    InternalError,
    ResourceExhaustedError,
    UnavailableError,
)
from discovery.link import Link, NoAnswerError
from transports.scope import running

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from discovery.link import Answer
    from transports.address import Address
    from transports.codec import Codec

logger = logging.getLogger(__name__)

_MISSES_UNTIL_LOST = 3
_ATTEMPT_S = 3.0  # without a single chunk; the daemon itself waits up to 2 s for a revision
_RETRY_FIRST_S = 0.05
_RETRY_CAP_S = 1.0


class ConnectionState(StrEnum):
    """Whether a daemon answers."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CLOSED = "closed"


class Connection:
    """Requests to whichever of `addresses` answers. Entering waits for the first one that does.

    Args:
        addresses: daemons of one registry, tried in order.
        codec: for requests.
        client: this process's name, shown to operators.
        connect_timeout_s: how long entering, and each attempt later, may take.
        rng: jitters what would otherwise be done in lockstep by a whole fleet.
        on_up: called with the link and the greeting when a daemon answers; may raise a
            `DiscoveryError` when it will not do.
        on_down: called when it does not any more.
        on_message: called with topic and payload of what is published on subscribed topics.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        codec: Codec,
        client: str,
        connect_timeout_s: float,
        rng: random.Random,
        on_up: Callable[[Link, Mapping[str, object]], None],
        on_down: Callable[[], None],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self.state = ConnectionState.CONNECTING
        self.reconnects = -1
        self._addresses = addresses
        self._codec, self._client = codec, client
        self._connect_timeout_s = connect_timeout_s
        self._rng = rng
        self._on_up, self._on_down, self._on_message = on_up, on_down, on_message
        self._link: Link | None = None
        self._registry_id: object = None
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_lost = asyncio.Event()
        self._misses = 0
        self._moves = 0
        self._last_error: DiscoveryError | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(self._stay_connected()))
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await self._first
            except TimeoutError:
                places = ", ".join(map(str, self._addresses))
                why = f": {self._last_error}" if self._last_error else ""
                raise UnavailableError(
                    f"cannot connect to {places} within {self._connect_timeout_s:g} s{why}; "
                    "is discoveryd running there?"
                ) from None
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._stack.aclose()
        finally:
            self.state = ConnectionState.CLOSED

    async def call(
        self, op: str, fields: Mapping[str, object], within_s: float, *, is_urgent: bool = False
    ) -> Answer:
        """Send one request to the current daemon; see `Link.call`.

        After three in which nothing was heard of this daemon, not even late, the next one is tried.
        If there may be another one, one that `is_urgent` is enough, two at that other one, three at
        the next: who moves on and on makes daemons slow that have too much to do.
        """
        if self._link is None:
            why = f": {self._last_error}" if self._last_error else ""
            raise NoAnswerError(f"not connected{why}")
        link, asked_at = self._link, asyncio.get_running_loop().time()
        try:
            answer = await link.call(op, fields, within_s)
        except NoAnswerError:
            self._misses = 0 if link.heard_at > asked_at else self._misses + 1
            most = self._moves + 1 if is_urgent and self._has_others else _MISSES_UNTIL_LOST
            if self._misses >= min(most, _MISSES_UNTIL_LOST):
                self._moves += 1
                self.leave(link)
            raise
        except DiscoveryError:
            self._misses = self._moves = 0  # it says no, but it says something
            raise
        self._misses = self._moves = 0
        return answer

    async def call_patiently(
        self, op: str, fields: Mapping[str, object], within_s: float
    ) -> Answer:
        """Send a request that may be repeated, to the next daemon too, for at most `within_s`.

        Raises the last error, `DeadlineExceededError` when the daemon never ended its answer.
        """
        last: DiscoveryError | None = None
        try:
            async with asyncio.timeout(within_s):
                for attempts in count(1):
                    try:
                        return await self.call(op, fields, min(within_s, _ATTEMPT_S))
                    except DiscoveryError as error:
                        if not error.retryable:
                            raise
                        last = error
                    await asyncio.sleep(_asked_s(last) + self._backoff_s(attempts))
        except TimeoutError:
            pass
        raise last or DeadlineExceededError(f"{op}: no answer within {within_s:g} s")

    @property
    def _has_others(self) -> bool:
        """There may be another daemon: a NATS server may lead to any number of them."""
        return len(self._addresses) > 1 or self._addresses[0].scheme == "nats"

    def leave(self, link: Link) -> None:
        """Try the next daemon, if `link` is still the one in use."""
        if link is self._link:
            self._is_lost.set()

    async def _stay_connected(self) -> None:
        failures = 0
        for address in cycle(self._addresses):
            try:
                await self._use(address)
                failures = 0
            except DiscoveryError as error:
                failures += 1
                self._last_error = error
                logger.debug("connection failed", extra={"why": str(error)})
                if not error.retryable and not self._first.done():
                    self._first.set_exception(error)
            except Exception as error:  # an error of ours must not end what would mend it
                failures += 1
                self._last_error = InternalError(f"{address}: {type(error).__name__}: {error}")
                logger.exception("connection failed", extra={"address": str(address)})
            await asyncio.sleep(self._backoff_s(failures))

    async def _use(self, address: Address) -> None:
        """Stay with the daemon at `address` until it does not answer. Raises when it never did."""
        within_s = self._connect_timeout_s
        if len(self._addresses) > 1:
            within_s /= len(self._addresses) + 1
        async with Link(address, self._codec, self._on_message) as link:
            greeting = await link.hello(self._client, within_s)
            self._check_registry(address, greeting)
            self._link, self._misses = link, 0
            self._is_lost.clear()
            try:
                self._on_up(link, greeting)
                self.state = ConnectionState.CONNECTED
                self.reconnects += 1
                logger.info("connected", extra={"address": str(address)})
                if not self._first.done():
                    self._first.set_result(None)
                await self._is_lost.wait()
            finally:
                self._link = None
                self.state = ConnectionState.DISCONNECTED
                self._on_down()
        logger.warning("connection to %s lost, reconnecting", address)

    def _check_registry(self, address: Address, greeting: Mapping[str, object]) -> None:
        registry_id = greeting.get("registry_id")
        if self._registry_id is None:
            self._registry_id = registry_id
        elif registry_id not in (None, self._registry_id):
            raise UnavailableError(
                f"{address}: serves registry {registry_id}, expected {self._registry_id}"
            )

    def _backoff_s(self, failures: int) -> float:
        """Full jitter, AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).

        Also without failures: a fleet whose daemon went does not come back in lockstep.
        """
        cap = min(_RETRY_CAP_S, _RETRY_FIRST_S * 2 ** min(failures, 10))
        return self._rng.uniform(0.0, cap)


def _asked_s(error: DiscoveryError) -> float:
    """Return how long the daemon asks us to stay away."""
    return error.retry_after_s or 0.0 if isinstance(error, ResourceExhaustedError) else 0.0
