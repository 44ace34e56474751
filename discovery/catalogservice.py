"""Requests about the catalog, answered by a daemon."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from discovery.bookkeys import CATALOG, catalog_head_key, catalog_owner
from discovery.catalogrecord import CatalogRecord, CatalogStatus, decode_catalog, described, kept_of
from discovery.catalogrules import find, visible
from discovery.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RecordError,
)
from discovery.modelname import ModelName, check_name, check_tenant, check_version
from discovery.names import shown
from discovery.stamps import stamp
from discovery.store import AtRevision, Put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from discovery.fields import Fields
    from discovery.names import Scope
    from discovery.registry import Registry
    from discovery.replica import Replica
    from discovery.store import Entry, Store

logger = logging.getLogger(__name__)


class CatalogService:
    """The catalog of one registry, to each caller as its tenant sees it.

    Args:
        store: one without guards keeps no catalog: each change is refused.
        registry: by which changes are written.
        replica: what is decided on.
        max_record_bytes: how long a record may be.
        now_ms: Unix time in ms, for stamps.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        replica: Replica,
        *,
        max_record_bytes: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._store, self._registry, self._replica = store, registry, replica
        self._max_record_bytes, self._now_ms = max_record_bytes, now_ms

    @property
    def calls(self) -> Mapping[str, Callable[[Fields], Awaitable[dict[str, object]]]]:
        """The requests that change something, by name."""
        return {"register_model": self._register, "retire_model": self._retire}

    # ---- reading

    def get(self, fields: Fields) -> Mapping[str, object]:
        """Return the model that a name stands for, as `record`, which is null if there is none."""
        tenant, name = check_tenant(fields.raw("tenant")), check_name(fields.raw("name"))
        version = _version(fields.raw("version"))
        fields.done()
        record = find(self._replica.mirror, tenant, name, version)
        return {"record": record.to_wire() if record else None}

    def list(self, fields: Fields) -> Sequence[Mapping[str, object]]:
        """Return what a tenant sees, the first registered first, without what is retired."""
        tenant = check_tenant(fields.raw("tenant"))
        fields.done()
        found: list[CatalogRecord] = []
        for record in visible(self._replica.mirror, tenant):
            if not isinstance(record, CatalogRecord):
                logger.warning("malformed model of the catalog skipped", extra={"why": str(record)})
            elif not record.is_retired:
                found.append(record)
        found.sort(key=lambda record: (record.created_at, record.key))
        return [record.to_wire() for record in found]

    @staticmethod
    def check_scope(scope: Scope, tenant: str | None) -> None:
        """Raise `PermissionDeniedError` for a part of the catalog that a tenant does not see."""
        if scope[0] != CATALOG:
            return
        seen = {catalog_owner(None), catalog_owner(check_tenant(tenant))}
        if len(scope) == 1 or scope[1] not in seen:
            raise PermissionDeniedError(
                f"scope {shown('/'.join(scope))}: not the caller's, expected one of "
                f"{', '.join(f'{CATALOG}/{owner}' for owner in sorted(seen))}"
            )

    # ---- changes

    async def _register(self, fields: Fields) -> dict[str, object]:
        """Write a record if its row is still `at` the revision at which the caller has seen it."""
        version = fields.raw("version")
        model = ModelName.of(
            fields.raw("tenant"), fields.raw("name"), 1 if version is None else version
        )
        new = described(
            model,
            model_type=fields.raw("model_type"),
            backend=fields.raw("backend"),
            task=fields.raw("task"),
            base_model=fields.raw("base_model"),
            artifact_path=fields.raw("artifact_path"),
            config=fields.raw("config"),
            now=stamp(self._now_ms()),
        )
        at = fields.integer("at")
        fields.done()
        answer: dict[str, object] = {}

        async def attempt() -> int:
            entry = self._replica.mirror.get(model.row)
            old = self._readable(entry, model.tenant)
            record = old.refreshed(new) if old else kept_of(entry.value, new) if entry else new
            self._check_size(record)
            is_done = old is not None and old.says_the_same_as(record)
            answer["has_changed"] = not is_done and at != (old.revision if old else 0)
            answer["record"] = old.to_wire() if old else None
            if answer["has_changed"] or is_done:
                return await self._as_it_is(model.row)
            revision = await self._write(record)
            answer["record"] = replace(record, revision=revision).to_wire()
            return revision

        return {**await self._persisted(attempt), **answer}

    async def _retire(self, fields: Fields) -> dict[str, object]:
        tenant, name = check_tenant(fields.raw("tenant")), check_name(fields.raw("name"))
        version = check_version(fields.raw("version"))
        fields.done()
        answer: dict[str, object] = {}

        async def attempt() -> int:
            found = find(self._replica.mirror, tenant, name, version)
            if found is None or found.tenant != tenant:
                raise NotFoundError(f"model {shown(name)} {version}: not in the caller's catalog")
            answer["record"] = found.to_wire()
            if found.is_retired:
                return await self._as_it_is(found.model.row)
            now = stamp(self._now_ms())
            retired = replace(found, status=CatalogStatus.RETIRED, updated_at=now)
            revision = await self._write(retired)
            answer["record"] = replace(retired, revision=revision).to_wire()
            return revision

        return {**await self._persisted(attempt), **answer}

    async def _write(self, record: CatalogRecord) -> int:
        """Write a row; models that are just being registered are decided anew.

        The head is only rewritten: others may change other rows at the same time.
        """
        row = record.model.row
        entry = self._replica.mirror.get(row)
        puts = [Put(row, record.encode()), Put(catalog_head_key(record.model.owner), b"{}")]
        return await self._store.commit(puts, [AtRevision(row, entry.revision if entry else 0)])

    async def _as_it_is(self, row: str) -> int:
        """Write nothing, and prove that the answer is not out of date."""
        entry = self._replica.mirror.get(row)
        return await self._store.commit([], [AtRevision(row, entry.revision if entry else 0)])

    @staticmethod
    def _readable(entry: Entry | None, tenant: str | None) -> CatalogRecord | None:
        """Return what a row says, None if it is malformed."""
        try:
            return decode_catalog(entry, tenant) if entry else None
        except RecordError:
            return None

    async def _persisted(self, attempt: Callable[[], Awaitable[int]]) -> dict[str, object]:
        if not self._store.has_guards:
            raise FailedPreconditionError("this store has no guards, so it cannot keep a catalog")
        epoch = self._replica.feed.epoch
        return {"revision": await self._registry.persist(attempt), "epoch": epoch}

    def _check_size(self, record: CatalogRecord) -> None:
        size = len(record.encode())
        if size > self._max_record_bytes:
            most = self._max_record_bytes
            raise InvalidArgumentError(
                f"model {shown(record.key)}: {size} bytes, expected {most} at most"
            )


def _version(value: object) -> int | None:
    return None if value is None else check_version(value)
