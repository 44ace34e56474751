"""The catalog of models, for an application: `d.catalog`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from discovery.bookkeys import CATALOG, BookEntry, catalog_owner
from discovery.catalogrecord import CatalogRecord, catalog_from_wire, decode_catalog, described
from discovery.catalogrules import own_then_global
from discovery.clock import now_ms
from discovery.errors import (
    DiscoveryError,
    InvalidArgumentError,
    NotFoundError,
    RecordError,
    UnavailableError,
)
from discovery.modelname import ModelName, check_name, check_version
from discovery.models.asking import unreadable
from discovery.names import shown
from discovery.stamps import stamp
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.fields import Fields
    from discovery.models.asking import Asking
    from discovery.names import Scope
    from discovery.watch import WatchStream

_REGISTRATIONS = 64  # each lost to a change in between


class Catalog:
    """Which models exist, as one tenant sees them; reached as `d.catalog`.

    A tenant has models of its own and sees those of everybody, which have no tenant; whoever is
    connected without a tenant has and sees only these. A name stands for the tenant's own model
    before everybody's, and for its highest version.

    Raises, beside what each method says: `InvalidArgumentError`, which names the column that is
    wrong, and `UnavailableError` or `DeadlineExceededError` when no daemon answers.

    Source: spec/models.md §1.
    """

    def __init__(
        self, asking: Asking, follow: Callable[[Scope], WatchStream], tenant: str | None
    ) -> None:
        self._asking, self._follow, self._tenant = asking, follow, tenant

    async def register(
        self,
        name: str,
        *,
        model_type: str,
        backend: str,
        task: str,
        version: int | None = None,
        base_model: str | None = None,
        artifact_path: str | None = None,
        config: Mapping[str, object] | None = None,
    ) -> CatalogRecord:
        """Register a model of the caller's tenant, or refresh one; return what is registered now.

        Its status and when it was first registered stay, and so does its path when none is given.

        Args:
            name: 1 to 253 bytes when percent-encoded, without "::".
            model_type: `embedding`, `llm`, `lora`, …
            backend: what serves it: `vllm`, `sglang`, `http`, …
            task: what it does, one of `TASKS`.
            version: 1 or more; None is 1.
            base_model: key of the model that it derives from.
            artifact_path: where its committed weights are.
            config: JSON for the backend.
        """
        model = ModelName.of(self._tenant, name, 1 if version is None else version)
        columns = {
            "model_type": model_type,
            "backend": backend,
            "task": task,
            "base_model": base_model,
            "artifact_path": artifact_path,
            "config": config,
        }
        new = described(model, **columns, now=stamp(now_ms()))
        columns["config"] = dict(new.config)
        for _ in range(_REGISTRATIONS):
            at = await self._revision_of(model)
            answer = await self._asking.change(
                "register_model", name=name, version=model.version, at=at, **columns
            )
            if not _flag(answer, "has_changed"):
                return _record(answer)
        raise UnavailableError(f"model {shown(name)}: others change it all the time; try again")

    async def get(self, name: str, version: int | None = None) -> CatalogRecord | None:
        """Return the model that a name stands for, retired or not, None if there is none."""
        check_name(name)
        if version is not None:
            check_version(version)
        answer = await self._asking.read("find_model", name=name, version=version)
        found = answer.get("record")
        return None if found is None else _read(found)

    async def list(self) -> Sequence[CatalogRecord]:
        """Return what the tenant sees, without what is retired, the first registered first."""
        return [_read(row) for row in await self._asking.rows("models")]

    async def retire(self, name: str, version: int | None = None) -> CatalogRecord:
        """Retire a model of the caller's tenant: it is served and listed no more, but found.

        Retiring it twice is no error. Raises `NotFoundError` for a model that is not the tenant's
        own, be it everybody's, another tenant's or none.
        """
        found = await self.get(name, version)
        if found is None or found.tenant != self._tenant:
            which = shown(name) if version is None else f"{shown(name)} version {version}"
            raise NotFoundError(f"model {which}: not in the caller's catalog")
        # By its version: asked a second time, a name may stand for a newer model.
        answer = await self._asking.change("retire_model", name=name, version=found.version)
        return _record(answer)

    def watch(self) -> CatalogStream:
        """Return a stream of the models that the tenant sees: enter it, then read or iterate."""
        return CatalogStream(
            {owner: self._follow((CATALOG, catalog_owner(owner))) for owner in self._owners}
        )

    async def _revision_of(self, model: ModelName) -> int:
        """Return the revision of a row, 0 for none, and for one that is to be written anew."""
        try:
            there = await self.get(model.name, model.version)
        except RecordError:
            return 0
        return there.revision if there and there.tenant == model.tenant else 0

    @property
    def _owners(self) -> Sequence[str | None]:
        return own_then_global(self._tenant)


class CatalogStream:
    """The models that a tenant sees, kept right.

    Enter it, then read `records`, wait for `changed`, or iterate: over each model there is, and
    again whenever one is registered, refreshed or retired. Belongs to the event loop it was entered
    on.
    """

    def __init__(self, streams: Mapping[str | None, WatchStream]) -> None:
        self._streams = streams
        self._stack = AsyncExitStack()
        self._given: dict[str, CatalogRecord] = {}
        self._ready: list[CatalogRecord] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for stream in self._streams.values():
                await stack.enter_async_context(stream)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream; who waits on it or iterates is told so."""
        await self._stack.aclose()

    @property
    def records(self) -> Mapping[str, CatalogRecord]:
        """The models by key, retired ones too; rows that cannot be read are left out."""
        found: dict[str, CatalogRecord] = {}
        for owner, stream in self._streams.items():
            entries: Sequence[object] = [*stream.instances.values()]
            for entry in entries:
                record = _readable(entry, owner)
                if record is not None:
                    found[record.key] = record
        return found

    async def synced(self) -> None:
        """Wait until all that there is has come."""
        for stream in self._streams.values():
            await stream.synced()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CatalogRecord:
        """Return the next model that is new or different, in the order of the changes."""
        await self.synced()
        while not self._ready:
            records = self.records.values()
            news = [r for r in records if self._given.get(r.key) != r]
            self._ready = sorted(news, key=lambda record: -record.revision)
            self._given |= {record.key: record for record in news}
            if not news:
                await self.changed()
        return self._ready.pop()

    async def changed(self) -> None:
        """Wait for a change since this last returned; see `WatchStream.changed`."""
        ended: list[DiscoveryError] = []
        one_has = asyncio.Event()

        async def change_of(stream: WatchStream) -> None:
            try:
                await stream.changed()
            except DiscoveryError as error:  # two at once would leave as a group
                ended.append(error)
            one_has.set()

        async with running(*map(change_of, self._streams.values())):
            await one_has.wait()
        if ended:
            raise ended[0]


def _readable(entry: object, owner: str | None) -> CatalogRecord | None:
    try:
        return decode_catalog(entry, owner) if isinstance(entry, BookEntry) else None
    except RecordError:
        return None


def _flag(answer: Fields, name: str) -> bool:
    try:
        return answer.flag(name)
    except InvalidArgumentError as error:
        raise unreadable(error) from error


def _record(answer: Fields) -> CatalogRecord:
    return _read(answer.raw("record"))


def _read(value: object) -> CatalogRecord:
    try:
        if isinstance(value, dict):
            return catalog_from_wire(value)
    except InvalidArgumentError as error:
        raise unreadable(error) from error
    raise unreadable(f"expected a record, got {shown(value)}")
