"""HTTP servers on threads of their own: what they answer, what they were asked, how they fail."""

from __future__ import annotations

import re
import socket
import threading
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    target: str
    headers: Message

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def start(self) -> int:
        """The first byte that is asked for."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        return int(found[1]) if found else 0


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    has_ranges: bool = False


class WebServer:
    """A server on a free port of loopback.

    Attributes:
        asked: all requests, in their order.
        cut_after: by path, how many bytes of the next answers' bodies come before the connection is
            cut; an answer takes the first of the list.
        held_after: by path, how many bytes of a body come before the server falls silent.
        is_held: is set as soon as it does.
    """

    def __init__(
        self, answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None
    ) -> None:
        self.asked: list[Asked] = []
        self.cut_after: dict[str, list[int]] = {}
        self.held_after: dict[str, int] = {}
        self.is_held = threading.Event()
        self.goes_on = threading.Event()
        self.answer = answer
        self.connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.of_whom = self
        self._server.daemon_threads = False  # so that closing waits for them
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def of(self, path: str, method: str = "GET") -> list[Asked]:
        """The requests for a path."""
        return [asked for asked in self.asked if (asked.path, asked.method) == (path, method)]

    def go_on(self) -> None:
        """Send what is held."""
        self.held_after.clear()
        self.goes_on.set()

    def close(self) -> None:
        self.go_on()
        self._server.shutdown()
        self._thread.join()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # heads and bodies are written one after the other

    @property
    def _of(self) -> WebServer:
        return self.server.of_whom

    def setup(self) -> None:
        super().setup()
        self._of.connections.add(self.connection)

    def finish(self) -> None:
        self._of.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError):  # whoever asked is gone
            super().handle()

    def do_GET(self) -> None:
        asked = Asked(self.command, self.path, self.headers)
        self._of.asked.append(asked)
        answer = _ranged(asked, self._of.answer(asked))
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send(asked.path, answer.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, path: str, body: bytes) -> None:
        of = self._of
        if cuts := of.cut_after.get(path):
            self.wfile.write(body[: cuts.pop(0)])
            self.close_connection = True
        elif (count := of.held_after.get(path)) is not None:
            self.wfile.write(body[:count])
            of.is_held.set()
            of.goes_on.wait()
            self.wfile.write(body[count:])
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _ranged(asked: Asked, answer: Answer) -> Answer:
    """Return the part of an answer that was asked for."""
    found = _RANGE.fullmatch(asked.headers.get("Range", ""))
    if not (found and answer.has_ranges and answer.status == 200):
        return answer
    size = len(answer.body)
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if first >= size:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    headers = {**answer.headers, "Content-Range": f"bytes {first}-{last}/{size}"}
    return Answer(206, answer.body[first : last + 1], headers)


@contextmanager
def web_server(
    answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None
) -> Iterator[WebServer]:
    """Run a server while the block runs."""
    server = WebServer(answer, tls)
    try:
        yield server
    finally:
        server.close()


class Files:
    """What a plain web server has: files by path, and pages of folders, as Apache makes them.

    Attributes:
        secret: which it wants, None for none.
        has_ranges: whether it knows of parts of files.
        more_links: of each page, beside those that a server has by itself.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.secret: str | None = None
        self.has_ranges = True
        self.more_links: list[str] = []
        self.headers: dict[str, dict[str, str]] = {}

    def __call__(self, asked: Asked) -> Answer:
        sent = asked.headers.get("Authorization")
        if self.secret is not None and sent != f"Bearer {self.secret}":
            return Answer(401 if sent is None else 403, f"not {sent}".encode())
        if asked.path in self.files:
            data = self.files[asked.path]
            headers = {"ETag": f'"{zlib.crc32(data):x}"', **self.headers.get(asked.path, {})}
            return Answer(200, data, headers, self.has_ranges)
        below = [path for path in self.files if path.startswith(asked.path)]
        if not asked.path.endswith("/") or not below:
            return Answer(404, b"<h1>Not Found</h1>", {"Content-Type": "text/html"})
        return Answer(200, self._page(asked.path, below), {"Content-Type": "text/html"})

    def _page(self, folder: str, below: list[str]) -> bytes:
        names = dict.fromkeys(path.removeprefix(folder).partition("/")[::2] for path in below)
        links = dict.fromkeys(quote(name) + ("/" if rest else "") for name, rest in names)
        standard = ["?C=N;O=D", "/", "../", "./", "#top", "https://httpd.example/"]
        rows = [f'<tr><td><a href="{link}">x</a></td></tr>' for link in [*standard, *links]]
        rows += [f"<a class=more href='{link}'>x</a>" for link in self.more_links]
        return f"<html><body><table>{''.join(rows)}</table></body></html>".encode()
