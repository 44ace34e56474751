"""A registry inside the process that uses it: the daemon's core, reached without a network.

Lives on the I/O thread. `memory://name` is one registry for the whole process while anybody uses
it; with `etcd://…` all who use the same URL share one connection and one view.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from discovery.background import Hosted
from discovery.clock import now_ms
from discovery.config import artifact_settings_from_env, process_environment
from discovery.core import Core
from discovery.settings import DaemonSettings
from transports.address import Address, parse_url
from transports.opening import open_publisher, open_rpc_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from discovery.background import Background


class _Embedded:
    """A running core and how many use it."""

    def __init__(self) -> None:
        self.users = 0
        self.turn = asyncio.Lock()
        self.hosted: Hosted[Core] | None = None


_cores: WeakKeyDictionary[Background, dict[str, _Embedded]] = WeakKeyDictionary()


@asynccontextmanager
async def embedded(url: str, background: Background) -> AsyncGenerator[Address]:
    """Run the registry of store `url` while the block runs, and give the address to reach it at.

    Only for use on the I/O thread. Raises what opening the store raises.
    """
    cores = _cores.setdefault(background, {})
    shared = cores.setdefault(url, _Embedded())
    shared.users += 1
    address = _address_of(url)
    try:
        async with shared.turn:
            if shared.hosted is None or shared.hosted.has_ended:
                shared.hosted = Hosted(background, _serving(url, address))
                await shared.hosted.enter()
        yield address
    finally:
        shared.users -= 1
        async with shared.turn:
            if not shared.users and shared.hosted is not None:
                await shared.hosted.aclose()
                shared.hosted = None
        if not shared.users:
            cores.pop(url, None)


def _address_of(url: str) -> Address:
    """Return where in this process the registry of store `url` is reached."""
    if url.startswith("memory://"):
        (address,) = parse_url(url)
        return address
    return Address(scheme="memory", host=f"embedded-{hashlib.sha256(url.encode()).hexdigest()}")


@asynccontextmanager
async def _serving(url: str, address: Address) -> AsyncGenerator[Core]:
    environ = process_environment()
    settings = DaemonSettings(
        store=url,
        listen=(str(address),),
        http=None,
        artifacts=artifact_settings_from_env(environ),
    )
    async with AsyncExitStack() as stack:
        make = partial(Core, settings, rng=random.SystemRandom(), now_ms=now_ms, environ=environ)
        core = await asyncio.to_thread(make)  # it reads what is installed, from files
        await stack.enter_async_context(core)
        publisher = await stack.enter_async_context(open_publisher(str(address)))
        core.publish_on(publisher)
        handler = core.handler(str(address))
        await stack.enter_async_context(open_rpc_server(str(address), handler))
        yield core
