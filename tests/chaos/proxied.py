"""What clients under fault have in common: the proxy before them, and that they tell everything."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import discovery.link
from discovery.errors import DiscoveryError
from discovery.logs import configure
from discovery.settings import LogSettings
from tests.chaos.planting import planted_as_told

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from transports.address import Address


def beside_requests() -> None:
    """Listen at the port after that of the requests; a daemon tells its own, past the proxy."""
    told = discovery.link.events_address

    def events_address(own: Address, said: object) -> Address:
        return told(own, said) if own.scheme == "nats" else own.with_port((own.port or 0) + 1)

    discovery.link.events_address = events_address


def run(main: Callable[..., Coroutine[None, None, None]]) -> None:
    """Run a program as its arguments say, and log everything for whoever looks what went wrong."""
    configure(LogSettings(level="debug", format="json"), sys.stderr)
    logging.getLogger("discovery").setLevel(logging.INFO)
    beside_requests()
    try:
        with planted_as_told():
            asyncio.run(main(*sys.argv[1:]))
    except DiscoveryError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
