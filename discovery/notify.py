"""Tell the service manager about start, readiness and stop."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


def sd_notify(state: str, environ: Mapping[str, str]) -> bool:
    """Send `state` (lines such as "READY=1") to the service manager; return whether it was sent.

    Without NOTIFY_SOCKET in `environ` nothing is sent. The send never blocks, and a service
    manager that does not read is logged, not raised: the daemon serves without it.

    Source: sd_notify(3); a leading "@" means an abstract socket, whose name starts with NUL.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    try:
        with socket.socket(socket.AF_UNIX, kind) as sock:
            sock.sendto(state.encode(), address)
    except OSError as exc:
        logger.warning("service manager not told", extra={"state": state, "error": str(exc)})
        return False
    return True
