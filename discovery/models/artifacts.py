"""The verified files of models on this node: `discovery.models.artifacts`.

Source: spec/models.md §3.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from discovery import config
from discovery.artifacts.manifest import Manifest, ManifestFile
from discovery.artifacts.node import Node
from discovery.artifacts.report import CacheReport, CacheStatus
from discovery.artifacts.room import Room
from discovery.artifacts.stopping import Progress
from discovery.artifacts.threads import asked, in_thread
from discovery.artifacts.usage import Usage, entries_by_last_use, entries_in_use, model_entry
from discovery.artifacts.wanted import Wanted, wanted_by
from discovery.catalogrecord import CatalogRecord
from discovery.errors import InvalidArgumentError, NotFoundError
from discovery.names import shown
from discovery.query import ModelQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from discovery.artifacts.stopping import Stop
    from discovery.client import Discovery

__all__ = [
    "ArtifactCache",
    "CacheReport",
    "CacheStatus",
    "Manifest",
    "ManifestFile",
    "Progress",
]


class ArtifactCache:
    """The files of models on this node: whole, verified, and shared by all of its processes.

    Args:
        root: its folder; None asks the variable DISCOVERY_ARTIFACTS_ROOT, and is a folder of this
            user's under the temporary folder.
        cache_id: its name in the whole fleet; None asks DISCOVERY_ARTIFACTS_ID, and is host and
            root. Nodes that share a disk say the same.
        source: of models that name none; None asks DISCOVERY_ARTIFACTS_SOURCE.
        credentials_file: TOML file of secrets by alias; None asks
            DISCOVERY_ARTIFACTS_CREDENTIALS_FILE. The variable DISCOVERY_CREDENTIAL_<ALIAS> wins.
        budget_bytes: how much may be in it; None asks DISCOVERY_ARTIFACTS_BUDGET_BYTES, 0 is any.

    Attributes:
        node: what does the work, in the thread of whoever calls it.

    Raises, beside what each method says: `InvalidArgumentError` for what is wrong and where,
    `InternalError` for trouble with files, and what the calls of `d` raise.

    Source: spec/models.md §3.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        cache_id: str | None = None,
        source: str | None = None,
        credentials_file: str | Path | None = None,
        budget_bytes: int | None = None,
    ) -> None:
        environ = config.process_environment()
        settings = config.artifact_settings_from_env(environ)
        if budget_bytes is not None and (type(budget_bytes) is not int or budget_bytes < 0):
            raise InvalidArgumentError(
                f"budget_bytes {shown(budget_bytes)}: expected 0 or more, or none"
            )
        given = {
            "root": None if root is None else str(root),
            "id": cache_id,
            "source": source,
            "credentials_file": None if credentials_file is None else str(credentials_file),
            "budget_bytes": budget_bytes,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        self.node = Node(replace(settings, **changes), environ)  # type: ignore[arg-type] # by name

    async def root(self) -> Path:
        """Return its folder, which is made if need be."""
        return await in_thread(lambda _: self.node.cache.root)

    async def cache_id(self) -> str:
        """Return its name in the whole fleet."""
        return await in_thread(lambda _: self.node.id)

    async def pull(
        self,
        d: Discovery,
        name: str,
        version: int | None = None,
        *,
        source: str | None = None,
        credential_alias: str | None = None,
        progress: Progress | None = None,
    ) -> Manifest:
        """Install the files of a model in place of what is there; return what is installed.

        Copied, hashed, and then there all at once; nothing changes if it fails, or is cancelled.
        Whoever else installs or drops the model on this cache is waited for. What came from afar
        and was cut off is gone on with.

        Args:
            d: has the catalog, and says what is in use when room is to be made.
            name: of a model of the catalog.
            version: None is the highest.
            source: URL of the files or path of their folder; None is what the catalog says, or
                the setting.
            credential_alias: of the secret for the source; None is what the catalog says.
            progress: is told how far this has got.

        Raises `NotFoundError` for a model that is not in the catalog, `ResourceExhaustedError`
        where there is not enough room, `PermissionDeniedError` and `UnavailableError` of the
        source.
        """
        record = await registered(d, name, version)
        wanted = files_of(record, self.node, source, credential_alias)
        return await install(d, self.node, wanted, progress=progress)

    async def inspect(self, model: CatalogRecord | str, *, is_deep: bool = False) -> CacheReport:
        """Say how a model's files are: `missing`, `unhealthy` or `installed`.

        Args:
            model: of the catalog, or the name of an entry.
            is_deep: read all files, and compare their hashes with the manifest's.
        """
        entry = _entry(model)
        return await in_thread(
            lambda stop: self.node.cache.inspect(entry, is_deep=is_deep, stop=stop)
        )

    async def drop(self, model: CatalogRecord | str) -> bool:
        """Remove a model's files; say whether there were any. It stays in the catalog."""
        entry = _entry(model)
        return await in_thread(lambda stop: self.node.cache.drop(entry, stop=stop))

    async def list(self) -> Sequence[CacheReport]:
        """Say how all models are whose files are here, in the order of their entries."""
        return await in_thread(lambda _: self.node.cache.list())

    async def gc(self, d: Discovery, budget_bytes: int | None = None) -> Sequence[CacheReport]:
        """Remove what was not used for longest until the rest fits; return what was removed.

        What a registered model or a process on this node uses stays, even if it does not fit.

        Args:
            d: says what was used when, and what is in use.
            budget_bytes: None is the cache's own; without one nothing is removed.
        """
        budget = self.node.budget_bytes if budget_bytes is None else budget_bytes
        if budget is None:
            return []
        room = _room_of(d, self.node, budget)
        return await in_thread(lambda stop: self.node.cache.evict(room(stop)))


async def install(
    d: Discovery,
    node: Node,
    wanted: Wanted,
    *,
    is_wanted: Callable[[CacheReport], bool] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Install files that are wanted, within the budget of the cache; see `Cache.pull`."""
    budget = node.budget_bytes
    room = None if budget is None else _room_of(d, node, budget)
    told = progress or Progress()

    def pull(stop: Stop) -> Manifest:
        allowed = room and room(stop)
        return node.pull(wanted, is_wanted=is_wanted, room=allowed, progress=told, stop=stop)

    return await in_thread(pull)


def files_of(
    record: CatalogRecord, node: Node, source: str | None, credential_alias: str | None
) -> Wanted:
    """Return which files a model needs; see `wanted_by`. A relative path is one from here."""
    if source and "://" not in source:
        source = str(Path(source).absolute())
    return wanted_by(record, source, credential_alias, node.source)


def _room_of(d: Discovery, node: Node, budget_bytes: int) -> Callable[[Stop], Room]:
    """Return what gives work in a thread the room there is."""
    loop = asyncio.get_running_loop()

    def room(stop: Stop) -> Room:
        cache_id = node.id
        return Room(
            budget_bytes=budget_bytes,
            usage=lambda: asked(loop, lambda: _usage(d, cache_id), stop),
        )

    return room


async def _usage(d: Discovery, cache_id: str) -> Usage:
    claims = await d.claims.by_last_used()
    cards = [model.card for model in await d.list(ModelQuery())]
    models = [record.model for record in await d.catalog.list()]
    for name in {name for card in cards if isinstance(name := card.get("display_name"), str)}:
        with suppress(InvalidArgumentError):  # no model of the catalog can be called so
            found = await d.catalog.get(name)  # a retired one, too
            models += [found.model] if found else []
    return Usage(
        order=entries_by_last_use(cache_id, claims),
        kept=entries_in_use(cache_id, claims, cards, models),
    )


async def registered(d: Discovery, name: str, version: int | None) -> CatalogRecord:
    """Return a model of the catalog. Raises `NotFoundError` when it is not in it."""
    record = await d.catalog.get(name, version)
    if record is None:
        which = shown(name) if version is None else f"{shown(name)} version {version}"
        raise NotFoundError(f"model {which}: not registered in the catalog")
    return record


def _entry(model: CatalogRecord | str) -> str:
    return model_entry(model.model) if isinstance(model, CatalogRecord) else model
