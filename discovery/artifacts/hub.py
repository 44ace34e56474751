"""Repositories of Hugging Face: huggingface_hub lists them, and their files come from the web."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from discovery.artifacts.server import Found, Server
from discovery.artifacts.web import SILENCE_S, Web
from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REPOSITORY: Final = re.compile(
    r"(?:(dataset|space)s/)?([^/@]+/[^/@]+|[^/@]+(?=@|$))"
    r"(?:@(refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(.*))?"
)


class Hub:
    """A repository, or what is below a path of it, at the commit that its revision is now.

    Args:
        path: `ORGANISATION/MODEL`, with `@REVISION`, `/PATH` or both behind it, and `datasets/`
            before it if it is one of data.
        secret: a token; without one none is sent, whatever the machine may have.
        endpoint: the URL of the hub, None for what the library takes.
    """

    def __init__(self, path: str, secret: str | None, endpoint: str | None) -> None:
        self._hub = import_module("huggingface_hub")
        known = import_module("huggingface_hub.constants").ENDPOINT
        self._endpoint = (endpoint or known).rstrip("/")
        self._path, self._secret = path, secret
        self._web = Web(self._endpoint, secret)
        self.revision = ""

    def find(self, takes: Callable[[str], bool]) -> Iterator[Found]:
        """Yield the files of that commit, which is the revision from then on."""
        parts = _REPOSITORY.fullmatch(self._path)
        if parts is None:
            raise InvalidArgumentError(
                f"source hf://{self._path}: expected hf://ORGANISATION/MODEL, with "
                "@REVISION, /PATH or both behind it"
            )
        kind, name, revision, path = parts.groups()
        api = self._hub.HfApi(endpoint=self._endpoint, token=self._secret or False)
        self.revision = api.repo_info(
            name, revision=revision and unquote(revision), repo_type=kind, timeout=SILENCE_S
        ).sha
        of = {"repo_type": kind, "revision": self.revision}
        for item in api.list_repo_tree(name, recursive=True, **of):
            below = _below(path, item.path)
            if below and hasattr(item, "size") and takes(below):  # folders have no size
                yield Found(
                    path=below,
                    where=self._hub.hf_hub_url(name, item.path, endpoint=self._endpoint, **of),
                    size=item.size,
                    sha256=item.lfs.sha256 if item.lfs else None,
                )

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on; empty pieces while it waits."""
        return self._web.pieces(found, start)

    def close(self) -> None:
        """Close all connections, but those that the library shares among all that use it."""
        self._web.close()


def _below(folder: str | None, path: str) -> str:
    """Return where a path is below a folder, its name if it is that itself, else nothing."""
    folder = (folder or "").strip("/")
    if path == folder:
        return path.rpartition("/")[2]
    start = f"{folder}/" if folder else ""
    return path.removeprefix(start) if path.startswith(start) else ""


_: type[Server] = Hub
