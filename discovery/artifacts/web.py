"""Web servers through fsspec: a file comes as one stream, and its rest anew if that breaks."""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from html import unescape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from discovery.artifacts.filesystem import FileSystem
from discovery.artifacts.server import ChangedError, Found, Server
from discovery.artifacts.stopping import never
from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_PIECE_BYTES: Final = 1 << 17  # some of them are read ahead, and lost where a connection breaks
SILENCE_S: Final = 10  # after which a server is asked again
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 1.0  # before the second; twice as long before each further one
_LOOK_S: Final = 0.1
_MOST_FOLDERS: Final = 1_000
_LINK: Final = re.compile(r"""<a\s[^>]*?href\s*=\s*("[^"]*"|'[^']*'|[^\s>]*)""", re.IGNORECASE)


class Web:
    """One file, or where the URL ends with `/`, what the page of that folder has links to."""

    revision: Final = ""

    def __init__(self, url: str, secret: str | None) -> None:
        http, aiohttp = import_module("fsspec.implementations.http"), import_module("aiohttp")
        self._url = url
        parts = urlsplit(url)
        is_direct = proxy_bypass(parts.hostname or "")
        self._owned = FileSystem(
            http.HTTPFileSystem,
            proxy=None if is_direct else getproxies().get(parts.scheme),
            client_kwargs={
                "headers": {"Authorization": f"Bearer {secret}"} if secret else {},
                "read_bufsize": _PIECE_BYTES,
                "timeout": aiohttp.ClientTimeout(sock_connect=SILENCE_S, sock_read=SILENCE_S),
            },
        )
        self._files = self._owned.files

    def find(self, takes: Callable[[str], bool]) -> Iterator[Found]:
        """Yield the file, or those of the folder and of the folders below."""
        for path, url in self._paths():
            if takes(path):
                yield self._one(path, url)

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on; empty pieces while it waits."""
        attempts = 0
        while start < (found.size or 0):
            try:
                for piece in self._stream(found, start):
                    yield piece
                    start, attempts = start + len(piece), 0
            except Exception as error:
                attempts += 1
                if attempts == _ATTEMPTS or not _may_pass(error):
                    raise
            else:
                return
            for _ in range(int(_PAUSE_S * 2 ** (attempts - 1) / _LOOK_S)):
                yield b""  # whoever copies may stop here
                never.pause(_LOOK_S)

    def close(self) -> None:
        """Close all connections."""
        self._owned.close()

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Yield the paths of all files, with their URLs."""
        if not self._url.endswith("/"):
            yield unquote(posixpath.basename(urlsplit(self._url).path)), self._url
            return
        pages = [self._url]
        for page in pages:  # which grow meanwhile
            if len(pages) > _MOST_FOLDERS:
                raise InvalidArgumentError(
                    f"source {self._url}: has more than {_MOST_FOLDERS} folders"
                )
            for link in self._links(page):
                if link.endswith("/"):
                    pages.append(link)
                else:
                    yield unquote(link.removeprefix(self._url)), link

    def _links(self, page: str) -> Iterable[str]:
        """Return the links of a page to what is below it."""
        text, below = self._files.cat_file(page).decode(errors="replace"), dict[str, None]()
        for link in _LINK.findall(text):
            with suppress(ValueError):  # whatever is no URL
                url = urldefrag(urljoin(page, unescape(link.strip("\"'")))).url
                if url.startswith(page) and url != page and "?" not in url:
                    below[url] = None
        return below

    def _one(self, path: str, url: str) -> Found:
        try:
            info = self._files.info(url)
        except FileNotFoundError as error:  # whatever there was
            raise error.__cause__ or error from None
        if info["url"].endswith("/"):  # to which the server has sent us on
            raise InvalidArgumentError(f"source {url}: is a folder; end it with '/'")
        return Found(path=path, where=url, size=info["size"], tag=_tag(info))

    def _stream(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on; the server need not know of ranges."""
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with self._files.open(
            found.where, "rb", block_size=0, size=found.size, headers=headers
        ) as opened:
            answer = opened.r.headers
            if found.tag and _tag(answer) != found.tag:
                raise ChangedError("it has changed since it was listed")
            is_rest = answer.get("Content-Range", "").startswith(f"bytes {start}-")
            skipped = 0 if is_rest else start
            while piece := opened.read(_PIECE_BYTES):
                if skipped < len(piece):
                    yield piece[skipped:]
                skipped = max(0, skipped - len(piece))


def _tag(headers: Mapping[str, Any]) -> str:
    return str(headers.get("ETag") or headers.get("Last-Modified") or "").removeprefix("W/")


def _may_pass(error: Exception) -> bool:
    """Say whether an error is one that another attempt may not meet."""
    status = getattr(error, "status", None)
    is_final = isinstance(error, (ChangedError, FileNotFoundError))
    return not is_final and (
        not isinstance(status, int) or status in {408, 429} or status >= 500  # noqa: PLR2004
    )


_: type[Server] = Web
