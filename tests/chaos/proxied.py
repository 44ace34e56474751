"""What clients under fault have in common: the proxy before them, and that they tell everything."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import discovery.link
from discovery.logs import configure
from discovery.settings import LogSettings

if TYPE_CHECKING:
    from transports.address import Address


def beside_requests() -> None:
    """Listen at the port after that of the requests; a daemon tells its own, past the proxy."""
    told = discovery.link.events_address

    def events_address(own: Address, said: object) -> Address:
        return told(own, said) if own.scheme == "nats" else own.with_port((own.port or 0) + 1)

    discovery.link.events_address = events_address


def log_everything() -> None:
    """Log to stderr, for whoever looks for what went wrong."""
    configure(LogSettings(level="debug", format="json"), sys.stderr)
    logging.getLogger("discovery").setLevel(logging.INFO)
