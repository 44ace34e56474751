"""Requests about the cache of the daemon's own node.

What takes long goes on by itself, and is asked for until it is done; `artifacts.jobs` tells how.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from discovery.artifacts.credentials import check_alias, refuse_plaintext
from discovery.artifacts.jobs import Jobs
from discovery.artifacts.reportwire import report_to_wire
from discovery.artifacts.room import Room
from discovery.artifacts.threads import asked, in_thread
from discovery.artifacts.usage import (
    Usage,
    entries_by_last_use,
    entries_in_use,
    model_entry,
)
from discovery.artifacts.wanted import wanted_by
from discovery.bookkeys import CATALOG
from discovery.catalogrecord import CatalogRecord
from discovery.catalogrules import find, visible
from discovery.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from discovery.modelname import ModelName, check_name, check_tenant, check_version
from discovery.names import Kind, shown
from discovery.wire import decode_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from discovery.artifacts.jobs import Work
    from discovery.artifacts.node import Node
    from discovery.artifacts.stopping import Progress, Stop
    from discovery.claimrecord import ClaimRecord
    from discovery.fields import Fields
    from discovery.replica import Replica
    from discovery.store import Entry

Which: TypeAlias = tuple[str | None, str, int | None]
"""Whose model, its name, and its version or None for the highest."""


class ArtifactService:
    """The cache of a daemon's node.

    Args:
        node: the cache.
        replica: has catalog, claims and registered models.
        claims: gives all claims, the one first that was not used for longest.
        daemon: who answers: work that is under way here is unknown to others.
    """

    def __init__(
        self,
        node: Node,
        replica: Replica,
        claims: Callable[[], Sequence[ClaimRecord]],
        daemon: str,
    ) -> None:
        self._node, self._replica, self._claims, self._daemon = node, replica, claims, daemon
        self._jobs = Jobs()

    @property
    def calls(self) -> Mapping[str, Callable[[Fields], Awaitable[dict[str, object]]]]:
        """The requests, by name."""
        return {
            "pull_artifact": self._pull,
            "inspect_artifact": self._inspect,
            "drop_artifact": self._drop,
            "list_artifacts": self._list,
        }

    def work_in(self, group: asyncio.TaskGroup) -> None:
        """Do what is asked for in a group's tasks, from now on."""
        self._jobs.work_in(group)

    def stop(self) -> None:
        """End all that is under way; what was not installed by then is as before."""
        self._jobs.stop()

    # ---- requests

    async def _pull(self, fields: Fields) -> dict[str, object]:
        refuse_plaintext(fields.names)
        which, source = _which(fields), fields.optional_text("source")
        alias = check_alias(fields.raw("credential_alias"))

        def begin() -> Work:
            wanted = wanted_by(self._record(which), source, alias, self._node.source)

            async def pull(progress: Progress) -> dict[str, object]:
                loop = asyncio.get_running_loop()
                manifest = await in_thread(
                    lambda stop: self._node.pull(
                        wanted, room=self._room(loop, stop), progress=progress, stop=stop
                    )
                )
                return {"manifest": manifest.to_wire()}

            return pull

        return await self._told(fields, ("pull", which, source, alias), begin, is_change=True)

    async def _inspect(self, fields: Fields) -> dict[str, object]:
        refuse_plaintext(fields.names)
        which, is_deep = _which(fields), fields.flag("deep")

        def begin() -> Work:
            entry = model_entry(self._record(which).model)

            async def inspect(_: Progress) -> dict[str, object]:
                report = await in_thread(
                    lambda stop: self._node.cache.inspect(entry, is_deep=is_deep, stop=stop)
                )
                return {"report": report_to_wire(report)}

            return inspect

        return await self._told(fields, ("inspect", which, is_deep), begin)

    async def _drop(self, fields: Fields) -> dict[str, object]:
        refuse_plaintext(fields.names)
        which = _which(fields)

        def begin() -> Work:
            entry = model_entry(self._record(which).model)

            async def drop(_: Progress) -> dict[str, object]:
                return {"removed": await in_thread(lambda s: self._node.cache.drop(entry, stop=s))}

            return drop

        return await self._told(fields, ("drop", which), begin, is_change=True)

    async def _list(self, fields: Fields) -> dict[str, object]:
        refuse_plaintext(fields.names)
        tenant = check_tenant(fields.raw("tenant"))

        def begin() -> Work:
            found = visible(self._replica.mirror, tenant)
            models = [record.model for record in found if isinstance(record, CatalogRecord)]

            async def list_(_: Progress) -> dict[str, object]:
                return {"reports": await in_thread(lambda _: self._reports(models))}

            return list_

        return await self._told(fields, ("list", tenant), begin)

    async def _told(
        self,
        fields: Fields,
        asked: Hashable,
        begin: Callable[[], Work],
        *,
        is_change: bool = False,
    ) -> dict[str, object]:
        """Have a piece of work done; return how it stands.

        What the catalog says is looked up when it is begun, and no more: it may change meanwhile.
        """
        mark, daemon = fields.text("mark"), fields.optional_text("daemon")
        part = fields.optional_integer("part") or 0
        fields.done()
        if daemon not in {None, self._daemon}:
            raise FailedPreconditionError(
                f"daemon {shown(daemon)} was asked first, and this is {self._daemon}: ask that "
                "one, or again from the beginning"
            )
        told = await self._jobs.told(mark, asked, begin, is_change=is_change, part=part)
        return {"daemon": self._daemon, **told}

    # ---- what they are about

    def _record(self, which: Which) -> CatalogRecord:
        """Return the model that is asked for. Raises `NotFoundError` for one that nobody has."""
        tenant, name, version = which
        record = find(self._replica.mirror, tenant, name, version)
        if record is None:
            called = shown(name) if version is None else f"{shown(name)} version {version}"
            raise NotFoundError(f"model {called}: not registered in the catalog")
        return record

    def _reports(self, models: Iterable[ModelName]) -> Sequence[Mapping[str, object]]:
        """Return how those of some models are whose files are here, in short. Blocks."""
        entries = set(map(model_entry, models))
        reports = [report for report in self._node.cache.list() if report.name in entries]
        return [{**report_to_wire(report), "manifest": None} for report in reports]

    def _room(self, loop: asyncio.AbstractEventLoop, stop: Stop) -> Room | None:
        """Return how much there may be, to work in a thread."""
        budget = self._node.budget_bytes
        if budget is None:
            return None

        def usage() -> Usage:
            claims, served, rows = asked(loop, self._records, stop)
            cache_id, cards = self._node.id, list(_cards(served))
            return Usage(
                order=entries_by_last_use(cache_id, claims),
                kept=entries_in_use(cache_id, claims, cards, _models(rows)),
            )

        return Room(budget_bytes=budget, usage=usage)

    async def _records(self) -> tuple[Sequence[ClaimRecord], Sequence[Entry], Sequence[Entry]]:
        """Return all claims, registered models and rows of the catalog."""
        mirror = self._replica.mirror
        served, rows = list(mirror.under((Kind.MODELS,))), list(mirror.under((CATALOG,)))
        return self._claims(), served, rows


def _which(fields: Fields) -> Which:
    tenant, name = check_tenant(fields.raw("tenant")), check_name(fields.raw("name"))
    version = fields.raw("version")
    return tenant, name, None if version is None else check_version(version)


def _cards(served: Iterable[Entry]) -> Iterator[Mapping[str, object]]:
    """Yield the cards of registered models."""
    for entry in served:
        card = decode_object(entry.value).get("card_json")
        if isinstance(card, dict):
            yield card


def _models(rows: Iterable[Entry]) -> Iterator[ModelName]:
    """Yield the models of the catalog, whatever else is wrong with their rows."""
    for row in rows:
        with suppress(InvalidArgumentError):
            found = decode_object(row.value)
            version = found.get("version")
            version = 1 if version is None else version
            yield ModelName.of(found.get("tenant"), found.get("name"), version)
