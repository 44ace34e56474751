"""Web servers through fsspec, and the hub of Hugging Face, which is one.

A file comes as one stream. One that ends too soon is asked for again from where it was.
"""

from __future__ import annotations

import posixpath
import re
from html import unescape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from discovery.artifacts.server import ChangedError, Found, Server
from discovery.artifacts.stopping import never
from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PIECE_BYTES: Final = 1 << 20
_SILENCE_S: Final = 30  # after which a server is asked again
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 1.0  # before the second; twice as long before each further one
_LOOK_S: Final = 0.1
_MOST_FOLDERS: Final = 1_000
_LINK: Final = re.compile(r"<a\s[^>]*?href\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_REPOSITORY: Final = re.compile(
    r"(?:(dataset|space)s/)?([^/@]+/[^/@]+)(?:@(refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(.*))?"
)


class Web:
    """One file, or where the URL ends with `/`, what the page of that folder has links to."""

    revision: Final = ""

    def __init__(self, url: str, secret: str | None) -> None:
        http, aiohttp = import_module("fsspec.implementations.http"), import_module("aiohttp")
        self._url, self._sync = url, import_module("fsspec.asyn").sync
        parts = urlsplit(url)
        is_direct = proxy_bypass(parts.hostname or "")
        # Instances are kept by fsspec, with their secrets, unless it is told not to.
        self._files = http.HTTPFileSystem(
            skip_instance_cache=True,
            proxy=None if is_direct else getproxies().get(parts.scheme),
            client_kwargs={
                "headers": {"Authorization": f"Bearer {secret}"} if secret else {},
                "read_bufsize": _PIECE_BYTES,
                "timeout": aiohttp.ClientTimeout(sock_connect=_SILENCE_S, sock_read=_SILENCE_S),
            },
        )
        self._session = self._sync(self._files.loop, self._files.set_session)

    def find(self) -> Iterator[Found]:
        """Yield the file, or those of the folder and of the folders below."""
        if not self._url.endswith("/"):
            yield self._one(posixpath.basename(urlsplit(self._url).path), self._url)
            return
        pages = [self._url]
        for page in pages:  # which grow meanwhile
            if len(pages) > _MOST_FOLDERS:
                raise InvalidArgumentError(
                    f"source {shown(self._url)}: has more than {_MOST_FOLDERS} folders"
                )
            for link in self._links(page):
                if link.endswith("/"):
                    pages.append(link)
                else:
                    yield self._one(link.removeprefix(self._url), link)

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on; empty pieces while it waits."""
        attempts = 0
        while True:
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
        self._sync(self._files.loop, self._session.close)

    def _links(self, page: str) -> Iterable[str]:
        """Return the links of a page to what is below it."""
        text = self._files.cat_file(page).decode(errors="replace")
        links = (urldefrag(urljoin(page, unescape(link))).url for link in _LINK.findall(text))
        below = (link for link in links if link.startswith(page) and "?" not in link)
        return dict.fromkeys(link for link in below if link != page)

    def _one(self, path: str, url: str) -> Found:
        try:
            info = self._files.info(url)
        except FileNotFoundError as error:  # whatever there was
            raise error.__cause__ or error from None
        return Found(path=unquote(path), where=url, size=info["size"], tag=_tag(info))

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
                raise ChangedError("has changed meanwhile")
            is_rest = answer.get("Content-Range", "").startswith(f"bytes {start}-")
            skipped = 0 if is_rest else start
            while piece := opened.read(_PIECE_BYTES):
                if skipped < len(piece):
                    yield piece[skipped:]
                skipped = max(0, skipped - len(piece))


class Hub:
    """A repository of Hugging Face at one commit."""

    def __init__(self, path: str, secret: str | None, endpoint: str | None) -> None:
        self._hub = import_module("huggingface_hub")
        self._endpoint = endpoint or import_module("huggingface_hub.constants").ENDPOINT
        self._path, self._secret = path, secret
        self._web = Web(self._endpoint, secret)
        self.revision = ""

    def find(self) -> Iterator[Found]:
        """Yield the files of the commit that the revision is now."""
        parts = _REPOSITORY.fullmatch(self._path)
        if parts is None:
            raise InvalidArgumentError(
                f"source {shown(f'hf://{self._path}')}: expected hf://ORGANISATION/MODEL, with "
                "@REVISION, /FOLDER or both behind it"
            )
        kind, name, revision, below = parts.groups()
        api = self._hub.HfApi(endpoint=self._endpoint, token=self._secret or False)
        self.revision = commit = api.repo_info(
            name, revision=revision and unquote(revision), repo_type=kind, timeout=_SILENCE_S
        ).sha
        folder = f"{below.strip('/')}/" if below else ""
        for item in api.list_repo_tree(name, recursive=True, revision=commit, repo_type=kind):
            if hasattr(item, "size") and f"{item.path}/".startswith(folder):
                yield Found(
                    path=item.path.removeprefix(folder),
                    where=self._hub.hf_hub_url(
                        name,
                        item.path,
                        repo_type=kind,
                        revision=commit,
                        endpoint=self._endpoint,
                    ),
                    size=item.size,
                    sha256=item.lfs.sha256 if item.lfs else None,
                )

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on; empty pieces while it waits."""
        return self._web.pieces(found, start)

    def close(self) -> None:
        """Close all connections, but those that the library shares with others."""
        self._web.close()


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
_hub: type[Server] = Hub
