"""The transports that the conformance suites run over, and an inbox to wait on."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq

from transports.address import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from tests.support.nats import Nats
    from transports.address import Address

LIMIT_S = 10.0
"""Nothing here takes a second; this only turns a hang into a failure."""

_names = itertools.count()


@dataclass(frozen=True)
class Case:
    """A transport, and what is particular to it."""

    new_url: Callable[[], str]
    """Returns a URL to listen on that nobody else has."""

    raw_kinds: bool = False
    """Peers that do not run our code can connect: raw ZMQ sockets."""

    shares_servers: bool = False
    """Several servers may have an address; each client asks one of them."""

    knows_subscribers: bool = True
    """A publisher can tell that nobody listens."""

    @contextmanager
    def raw_peer(self, kind: int, address: Address) -> Iterator[zmq.Socket[bytes]]:
        """Yield a raw socket that connects to the address, in the place of a peer of ours."""
        assert self.raw_kinds
        with zmq.Context() as context, context.socket(kind) as socket:
            socket.linger = 0
            socket.connect(f"tcp://{address.netloc}")
            yield socket

    @contextmanager
    def raw_listener(self, kind: int) -> Iterator[tuple[zmq.Socket[bytes], Address]]:
        """Yield a raw socket that listens, and where."""
        assert self.raw_kinds
        with zmq.Context() as context, context.socket(kind) as socket:
            socket.linger = 0
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            yield socket, only(f"zmq://127.0.0.1:{port}")


CASES = ["memory", "zmq", "nats"]


def case_of(request: pytest.FixtureRequest) -> Case:
    """Return the case that a fixture is asked for by name, with the server that it needs."""
    match request.param:
        case "memory":
            return Case(lambda: f"memory://test-{next(_names)}")
        case "zmq":
            return Case(lambda: "zmq://127.0.0.1:0", raw_kinds=True)
        case _:
            nats: Nats = request.getfixturevalue("nats")
            return Case(nats.own_url, shares_servers=True, knows_subscribers=False)


class Inbox:
    """Keeps what it is called with; is an OnReply, an OnMessage, or what a handler calls."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()

    def __call__(self, *item: Any) -> None:
        self.items.append(item)
        self._changed.set()

    async def first(self, count: int) -> list[tuple[Any, ...]]:
        """Wait until `count` items are here, and return all that are."""
        return await self.until(lambda: len(self.items) >= count)

    async def until(self, is_enough: Callable[[], bool]) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(LIMIT_S):
            while not is_enough():
                self._changed.clear()
                await self._changed.wait()
        return self.items


async def eventually(is_true: Callable[[], object]) -> None:
    """Let the loop run until a condition holds that no event announces."""
    async with asyncio.timeout(LIMIT_S):
        while not is_true():  # noqa: ASYNC110 - no event announces it
            await asyncio.sleep(0.001)


def only(url: str) -> Address:
    (address,) = parse_url(url)
    return address
