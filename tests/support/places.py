"""Registries for tests of the client: embedded ones, and daemons behind real ZMQ sockets.

Both live on a thread of their own, so that a test may block its own loop.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import discovery
from discovery import background, embedded
from discovery.background import Background, Hosted
from discovery.clock import now_ms
from discovery.core import Core
from discovery.events import Cause
from discovery.settings import DaemonSettings, LeaseSettings, WatchSettings
from transports.opening import open_publisher, open_rpc_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from discovery import Discovery

T = TypeVar("T")

_names = itertools.count()
BEAT_S = 0.1


async def until(is_so: Callable[[], Any], within_s: float = 10.0) -> None:
    """Wait until something holds; fail when it does not in time."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - it may be so on another thread
            await asyncio.sleep(0.005)


class EmbeddedPlace:
    """`memory://name` in this process."""

    def __init__(self) -> None:
        self.url = f"memory://place{next(_names)}"

    def connect(self, **options: Any) -> Discovery:
        return discovery.connect(self.url, **options)

    @property
    def core(self) -> Core:
        shared = background._shared._background
        assert shared is not None
        hosted = embedded._cores[shared][self.url].hosted
        assert hosted is not None
        return hosted._entered.result()

    async def run(self, work: Callable[[Core], Awaitable[T]]) -> T:
        """Do something behind the backs of all clients."""
        shared = background._shared._background
        assert shared is not None
        return await shared.run(_of(work, self.core))

    async def end_lease(self, lease_id: int) -> None:
        await self.run(lambda core: core.store.revoke(lease_id, Cause.REVOKED))


class DaemonPlace:
    """A daemon on free ports of this machine, which can be stopped and started again."""

    def __init__(self, thread: Background, **watch: Any) -> None:
        self._thread = thread
        self._settings = DaemonSettings(
            watch=WatchSettings(**({"beat_interval_s": BEAT_S} | watch)),
            lease=LeaseSettings(recovery_s=1.0),
        )
        self._requests = self._events = "zmq://127.0.0.1:0"
        self._hosted: Hosted[Core] | None = None
        self._seeds = itertools.count()

    @property
    def url(self) -> str:
        return self._requests

    @property
    def core(self) -> Core:
        assert self._hosted is not None
        return self._hosted._entered.result()

    def connect(self, **options: Any) -> Discovery:
        return discovery.connect(self.url, **options)

    async def start(self) -> None:
        self._hosted = Hosted(self._thread, self._serving())
        await self._hosted.enter()

    async def stop(self) -> None:
        if self._hosted is not None:
            await self._hosted.aclose()
            self._hosted = None

    async def run(self, work: Callable[[Core], Awaitable[T]]) -> T:
        """Do something behind the backs of all clients."""
        return await self._thread.run(_of(work, self.core))

    async def end_lease(self, lease_id: int) -> None:
        await self.run(lambda core: core.store.revoke(lease_id, Cause.REVOKED))

    @asynccontextmanager
    async def _serving(self) -> AsyncGenerator[Core]:
        rng = random.Random(next(self._seeds))
        make = partial(Core, self._settings, rng=rng, now_ms=now_ms)
        core = await asyncio.to_thread(make)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(core)
            publisher = await stack.enter_async_context(open_publisher(self._events))
            core.publish_on(publisher)
            handler = core.handler(str(publisher.address))
            server = await stack.enter_async_context(open_rpc_server(self._requests, handler))
            self._requests, self._events = str(server.address), str(publisher.address)
            yield core


async def _of(work: Callable[[Core], Awaitable[T]], core: Core) -> T:
    return await work(core)


@asynccontextmanager
async def daemon_place(**watch: Any) -> AsyncGenerator[DaemonPlace]:
    """Give a running daemon."""
    thread = Background()
    thread.start()
    await thread.started()
    place = DaemonPlace(thread, **watch)
    try:
        await place.start()
        yield place
    finally:
        await place.stop()
        await thread.stop()
