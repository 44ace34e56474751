"""Pass messages from all publishers to all subscribers who want them: XSUB, XPUB and a thread.

The thread is ZMQ's own proxy, which needs no Python for a message. A subscriber that takes nothing
has messages dropped at the high-water mark, and holds up nobody.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import zmq

from transports.envelope import MAX_ENVELOPE_BYTES
from transports.zmq.sockets import end_listening, listen, terminate

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address

HIGH_WATER_MARK: Final = 100_000
"""How many messages may wait from one publisher, and for one subscriber."""

_MAX_PREFIX_BYTES: Final = 2048
_MARKS: Final[dict[int, int]] = {
    int(zmq.SNDHWM): HIGH_WATER_MARK,
    int(zmq.RCVHWM): HIGH_WATER_MARK,
}


class Forwarder:
    """Listens for publishers and for subscribers, and passes on between them.

    Args:
        publishers: where publishers connect to; port 0 for any.
        subscribers: where subscribers connect to.
    """

    def __init__(self, publishers: Address, subscribers: Address) -> None:
        self.publishers, self.subscribers = publishers, subscribers
        self._contexts: list[zmq.Context[zmq.Socket[bytes]]] = []

    async def __aenter__(self) -> Self:
        """Listen and pass on. Raises `UnreachableError` when an address cannot be had."""
        taking = {**_MARKS, int(zmq.MAXMSGSIZE): MAX_ENVELOPE_BYTES + 64, int(zmq.SNDHWM): 0}
        giving = {**_MARKS, int(zmq.MAXMSGSIZE): _MAX_PREFIX_BYTES + 1}
        xsub, self.publishers = await listen(zmq.XSUB, self.publishers, taking)
        try:
            xpub, self.subscribers = await listen(zmq.XPUB, self.subscribers, giving)
        except BaseException:
            await end_listening(xsub)
            raise
        self._contexts = [xsub.context, xpub.context]
        threading.Thread(target=_pass_on, args=(xsub, xpub), name="zmq-proxy", daemon=True).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop, and give both addresses back."""
        contexts, self._contexts = self._contexts, []
        for context in contexts:
            await terminate(context)


def _pass_on(xsub: zmq.Socket[bytes], xpub: zmq.Socket[bytes]) -> None:
    """Pass on until a context is terminated, which waits until the sockets are closed."""
    with suppress(zmq.ContextTerminated):
        zmq.proxy(xsub, xpub)
    xsub.close()
    xpub.close()
