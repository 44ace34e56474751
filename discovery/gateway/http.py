"""Health, readiness and metrics over HTTP; needs the `http` extra."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from uvicorn.protocols.http.h11_impl import H11Protocol

from discovery.errors import UnavailableError
from transports.address import parse_url
from transports.scope import running

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Ready: TypeAlias = Callable[[], tuple[bool, Mapping[str, object]]]

_MAX_CONNECTIONS = 256  # probes and scrapers; more is refused with 503
_GRACE_S = 1  # for answers under way when the server stops
_PATIENCE_S = 5  # for a whole request, from the connection or the last answer on
_SHOWN_CHARACTERS = 120

# uvicorn warns of each request that is none, so whoever sends them would fill the log.
_peers = logging.getLogger(f"{__name__}.peers")
_peers.setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    allow: str | None = None


class HttpApp:
    """The ASGI application.

    `/healthz` answers 200 while the event loop turns. `/readyz` answers 200 or 503 with what
    `ready` says, as `{"ready": …, …}`. `/metrics` answers what `metrics` collects, in the format
    of Prometheus that the caller asks for. Everything else is 404, and 405 for other methods than
    GET and HEAD; errors are `{"error": {"code": …, "message": …}}`.

    Source of the interface: ASGI specification 3.0, "HTTP connection scope".
    """

    def __init__(self, *, ready: Ready, metrics: CollectorRegistry) -> None:
        self._ready = ready
        self._metrics = metrics
        self._routes: Mapping[str, Callable[[str], _Answer]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._scrape,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; its body is not read."""
        answer = self._answer(scope)
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if answer.allow is not None:
            headers.append((b"allow", answer.allow.encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Message) -> _Answer:
        path, method = scope["path"], scope["method"]
        route = self._routes.get(path)
        if route is None:
            there = ", ".join(self._routes)
            message = f"nothing at {path:.{_SHOWN_CHARACTERS}}; there are {there}"
            return _Answer(status=404, body=_error("not_found", message))
        if method not in {"GET", "HEAD"}:
            message = f"{path} takes GET and HEAD, got {method:.{_SHOWN_CHARACTERS}}"
            body = _error("invalid_argument", message)
            return _Answer(status=405, body=body, allow="GET, HEAD")
        accepted = (value for name, value in scope["headers"] if name == b"accept")
        return route(b",".join(accepted).decode("latin-1"))

    @staticmethod
    def _healthz(_accept: str) -> _Answer:
        return _Answer(status=200, body=_json({"status": "ok"}))

    def _readyz(self, _accept: str) -> _Answer:
        is_ready, details = self._ready()
        return _Answer(status=200 if is_ready else 503, body=_json({"ready": is_ready, **details}))

    def _scrape(self, accept: str) -> _Answer:
        encode, content_type = choose_encoder(accept)
        return _Answer(status=200, body=encode(self._metrics), content_type=content_type)


def listening_socket(address: str) -> socket.socket:
    """Return a socket that listens on `address`, "host:port" with port 0 for any free one.

    Raises:
        UnavailableError: the address is in use or not one of this machine.
        transports.errors.AddressError: it is not host and port.
    """
    (place,) = parse_url(f"tcp://{address}")
    host = "" if place.host == "*" else place.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, place.port or 0), family=family)
    except OSError as exc:
        raise UnavailableError(f"http: cannot listen on {address}: {exc.strerror or exc}") from exc


@asynccontextmanager
async def serve(app: HttpApp, sock: socket.socket) -> AsyncGenerator[None]:
    """Answer requests on `sock` for as long as the block runs; close it at the end.

    Answers under way at the end get a second. Signals are left alone.
    """
    server = _Server(app)
    async with running(server.serve([sock])):
        await server.listening.wait()
        try:
            yield
        finally:
            server.should_exit = True
            await server.finished.wait()


class _Protocol(H11Protocol):
    """Hangs up on those who do not ask, since some hundreds would take all places, and is quiet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent
        super().connection_made(transport)
        self.logger = _peers
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        # Its parent stops the timer here; only a whole request may do that.
        self.conn.receive_data(data)
        self.handle_events()


class _Server(uvicorn.Server):
    """Uvicorn without its handling of signals, and telling when it listens and when it ended."""

    def __init__(self, app: HttpApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                loop="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                timeout_keep_alive=_PATIENCE_S,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self.listening = asyncio.Event()
        self.finished = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self.finished.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, default=str).encode() + b"\n"


def _error(code: str, message: str) -> bytes:
    return _json({"error": {"code": code, "message": message}})
