"""nats-py's client for one connection, with what it would do otherwise; and how to be let in."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any, Final

import nats.errors
from nats.aio.client import Client
from nats.protocol.parser import Parser

from transports.errors import UnreachableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from transports.nats.url import NatsUrl

logger = logging.getLogger(__name__)

CLOSE_S: Final = 1.0
"""How long ending may take, and how long writing may wait."""

_CONNECT_S: Final = 2
_REFUSAL: Final = "permissions violation"
_PING_S: Final = 1  # a server that says nothing is left when a third answer is due

LOST: Final = (OSError, TimeoutError, nats.errors.Error, UnreachableError)
CUT: Final = (*LOST, RuntimeError)
"""What writing may raise; the last is uvloop's, for what is closed already."""


class _Parser(Parser):
    """nats-py's, which takes everything that is read for a sign of life.

    nats-py waits for the answer to its ping, which comes after all else that is under way.
    """

    async def parse(self, data: bytes = b"") -> None:
        if data:
            self.nc._pings_outstanding = 0  # noqa: SLF001 - what it counts by
        await super().parse(data)


class NatsClient(Client):
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
        self.refusal: str | None = None
        """The first thing that we may not do, as the server said it."""
        self._why: Exception | None = None

    async def open(self, server: str, let_in: Mapping[str, Any]) -> None:
        """Connect to one server. Raises one of `LOST`."""
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
                flush_timeout=CLOSE_S,
                skip_subject_validation=True,
                error_cb=self._note,
                closed_cb=self._end,
                **let_in,
            )
        except nats.errors.NoServersError:
            raise self.why() from None
        except LOST:
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
        """Take what the server says. What it refuses for want of permissions ends no connection."""
        self._why = error
        if _REFUSAL in str(error).lower() and self.refusal is None:
            self.refusal = str(error).removeprefix("nats: ")
            logger.warning("NATS refuses", extra={"why": self.refusal})

    async def _end(self) -> None:
        self.has_ended = True
        self._on_end()

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        """Ask for an answer behind all that was sent; nats-py's question overtakes what waits."""
        if self._pending and self._transport:
            waiting, self._pending, self._pending_data_size = self._pending, [], 0
            self._transport.writelines(waiting)
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        """Take the answer to a ping. nats-py stops reading for good if nobody waits for it now."""
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
        else:
            await super()._process_pong()

    async def _process_op_err(self, e: Exception) -> None:
        """End for an error, at once: nats-py would wait until a silent server took the rest."""
        if self._transport:
            self._transport._io_writer.transport.abort()  # type: ignore[attr-defined] # noqa: SLF001
        await super()._process_op_err(e)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002
        """End, and tell whoever waits for an answer to a ping, which nats-py would let wait.

        Its own gives up midway when it can write no more, and calls nobody back.
        """
        pongs, self._pongs = self._pongs, []
        for pong in pongs:
            if not pong.done():
                pong.set_exception(nats.errors.ConnectionClosedError())
                pong.exception()  # seen: of nats-py's own pings nobody takes it
        try:
            await super()._close(status, do_cbs)
        except CUT as error:
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


def ways_in(url: NatsUrl) -> dict[str, Any]:
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
