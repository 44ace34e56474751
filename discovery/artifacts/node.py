"""The cache of this node as it is set up: where it is, whose secrets it uses, how much it holds."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from discovery.artifacts.cache import Cache
from discovery.artifacts.credentials import secret_of
from discovery.artifacts.layout import temporary_root
from discovery.artifacts.opening import check_takes_secret, open_source
from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from discovery.artifacts.manifest import Manifest
    from discovery.artifacts.report import CacheReport
    from discovery.artifacts.room import Room
    from discovery.artifacts.stopping import Progress, Stop
    from discovery.artifacts.wanted import Wanted
    from discovery.settings import ArtifactSettings

_MOST_ID_BYTES: Final = 400  # a claim's name has 1,024, and the model's is in it too


class Node:
    """The cache that settings name. All of it blocks.

    Args:
        settings: of artifacts.
        environ: has secrets, by alias.
        data: the folder of the data of the program that asks, beside which a cache may be.
    """

    def __init__(
        self, settings: ArtifactSettings, environ: Mapping[str, str], data: Path | None = None
    ) -> None:
        self._settings, self._environ, self._data = settings, environ, data
        self._cache: Cache | None = None

    @property
    def cache(self) -> Cache:
        """The cache, which is made when it is first asked for."""
        if self._cache is None:
            self._cache = Cache(self._root())
        return self._cache

    @property
    def id(self) -> str:
        """Which cache it is, in the whole fleet: its host and root, unless a setting says it."""
        if self._settings.id is not None:
            return self._settings.id
        made = f"{socket.gethostname()}:{self.cache.root}"
        if len(made.encode()) > _MOST_ID_BYTES or not made.isprintable():
            raise InvalidArgumentError(
                f"cache id {shown(made)}: expected {_MOST_ID_BYTES} printable bytes at most; set "
                "artifacts.id"
            )
        return made

    @property
    def source(self) -> str | None:
        """The source of models that name none."""
        return self._settings.source

    @property
    def budget_bytes(self) -> int | None:
        """How much may be in the cache, None for any amount."""
        return self._settings.budget_bytes or None

    def pull(
        self,
        wanted: Wanted,
        *,
        is_wanted: Callable[[CacheReport], bool] | None = None,
        room: Room | None,
        progress: Progress,
        stop: Stop,
    ) -> Manifest:
        """Install a model's files; see `Cache.pull`."""
        secret = None
        if wanted.alias is not None:
            check_takes_secret(wanted.url)
            file = self._settings.credentials_file
            secret = secret_of(wanted.alias, self._environ, Path(file) if file else None)
        opened = open_source(wanted.url, secret, self._environ.get("HF_ENDPOINT"))
        with closing(opened) as source:
            return self.cache.pull(
                wanted.described,
                source,
                is_wanted=is_wanted,
                room=room,
                progress=progress,
                stop=stop,
            )

    def _root(self) -> Path:
        if self._settings.root is not None:
            return Path(self._settings.root)
        return self._data / "artifacts" if self._data else temporary_root()
