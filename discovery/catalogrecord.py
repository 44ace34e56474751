"""One model of the catalog: its fields, and how they change. Sans-I/O.

Source: spec/models.md §1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from discovery.errors import InvalidArgumentError, RecordError
from discovery.jsonvalue import json_copy
from discovery.modelname import ModelName, check_tenant
from discovery.names import check_text, shown
from discovery.stamps import checked_stamp
from discovery.wire import decode_object, encode_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.bookkeys import BookEntry
    from discovery.jsonvalue import Json
    from discovery.store import Entry

TASKS: Final = (
    "embed",
    "generate",
    "chat",
    "rerank",
    "score",
    "classify",
    "reward",
    "summarize",
    "translate",
    "transcribe",
    "speak",
    "image",
)

_MAX_TEXT_BYTES: Final = 4096


class CatalogStatus(StrEnum):
    """What has become of a model."""

    REGISTERED = "registered"
    LOADED = "loaded"
    FAILED = "failed"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRecord:
    """A model that exists.

    Attributes:
        name: such as `sentence-transformers/all-MiniLM-L6-v2`.
        version: from 1; the highest is the one that a name stands for.
        tenant: whose it is, None for everybody's.
        model_type: `embedding`, `llm`, `lora`, …
        backend: what serves it: `vllm`, `sglang`, `http`, …
        task: what it does, one of `TASKS`.
        base_model: key of the model that it derives from, or None.
        artifact_path: where its committed weights are, or None.
        config: JSON for the backend.
        status: `registered`, `loaded`, `failed` or `retired`.
        created_at: when it was first registered; RFC 3339, UTC.
        updated_at: when it was last changed; RFC 3339, UTC.
        revision: that of its last change.
    """

    name: str
    version: int
    tenant: str | None = None
    model_type: str
    backend: str
    task: str
    base_model: str | None = None
    artifact_path: str | None = None
    config: Mapping[str, Json] = field(default_factory=dict)
    status: CatalogStatus = CatalogStatus.REGISTERED
    created_at: str
    updated_at: str
    revision: int = 0

    @property
    def model(self) -> ModelName:
        """Which model it is."""
        return ModelName(tenant=self.tenant, name=self.name, version=self.version)

    @property
    def key(self) -> str:
        """`name::version`, or `tenant::name::version`."""
        return self.model.key

    @property
    def is_retired(self) -> bool:
        """It is served no more."""
        return self.status is CatalogStatus.RETIRED

    def encode(self) -> bytes:
        """Return it as JSON."""
        value = self.to_wire()
        del value["revision"]
        return encode_object(value)

    def to_wire(self) -> dict[str, object]:
        """Return its fields, and its key."""
        return {
            "key": self.key,
            "name": self.name,
            "version": self.version,
            "tenant": self.tenant,
            "model_type": self.model_type,
            "backend": self.backend,
            "task": self.task,
            "base_model": self.base_model,
            "artifact_path": self.artifact_path,
            "config": dict(self.config),
            "status": self.status.value,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "revision": self.revision,
        }

    def refreshed(self, new: CatalogRecord) -> CatalogRecord:
        """Return this record after another registration of it.

        When it was made and what became of it stays, and so does a path when none is given.
        """
        path = self.artifact_path if new.artifact_path is None else new.artifact_path
        return replace(
            new, artifact_path=path, status=self.status, created_at=self.created_at, revision=0
        )

    def says_the_same_as(self, other: CatalogRecord) -> bool:
        """Say whether two records differ in nothing but when they were written."""
        return replace(self, updated_at=other.updated_at).encode() == other.encode()


def described(
    model: ModelName,
    *,
    model_type: object,
    backend: object,
    task: object,
    base_model: object,
    artifact_path: object,
    config: object,
    now: str,
) -> CatalogRecord:
    """Return a record as somebody registers it. Raises `InvalidArgumentError`, naming the field."""
    return CatalogRecord(
        name=model.name,
        version=model.version,
        tenant=model.tenant,
        model_type=check_text("model_type", model_type, _MAX_TEXT_BYTES),
        backend=check_text("backend", backend, _MAX_TEXT_BYTES),
        task=_task(task),
        base_model=_base(model, base_model),
        artifact_path=_optional("artifact_path", artifact_path),
        config=_config(config),
        created_at=now,
        updated_at=now,
    )


def decode_catalog(entry: Entry | BookEntry, tenant: str | None) -> CatalogRecord:
    """Return what a row of a tenant's part says.

    Raises `RecordError`, which names the row and what is wrong.
    """
    try:
        return _decoded(decode_object(entry.value), tenant, entry.key, entry.revision)
    except InvalidArgumentError as error:
        raise RecordError(f"catalog record {entry.key!r}: {error}") from error


def is_retired_in(value: bytes) -> bool:
    """Say whether a row says that its model is retired, whatever else is wrong with it."""
    try:
        return decode_object(value).get("status") == CatalogStatus.RETIRED
    except InvalidArgumentError:
        return False


def kept_of(value: bytes, new: CatalogRecord) -> CatalogRecord:
    """Return a record as it is registered over a row that cannot be read: retired it stays."""
    return replace(new, status=CatalogStatus.RETIRED) if is_retired_in(value) else new


def catalog_from_wire(value: Mapping[str, object]) -> CatalogRecord:
    """Return the record of a map. Raises `InvalidArgumentError`."""
    revision = value.get("revision")
    tenant = check_tenant(value.get("tenant"))
    return _decoded(value, tenant, None, revision if type(revision) is int else 0)


def _decoded(
    found: Mapping[str, object], tenant: str | None, row: str | None, revision: int
) -> CatalogRecord:
    version = found.get("version")
    model = ModelName.of(tenant, found.get("name"), 1 if version is None else version)
    if found.get("tenant") != tenant or row not in {None, model.row}:
        raise InvalidArgumentError(f"is about {model.key}, which lies elsewhere")
    status = found.get("status")
    if not isinstance(status, str) or status not in tuple(CatalogStatus):
        raise InvalidArgumentError(f"status {shown(status)}: expected {' or '.join(CatalogStatus)}")
    made = described(
        model,
        model_type=found.get("model_type"),
        backend=found.get("backend"),
        task=found.get("task"),
        base_model=found.get("base_model"),
        artifact_path=found.get("artifact_path"),
        config=found.get("config"),
        now="",
    )
    return replace(
        made,
        status=CatalogStatus(status),
        created_at=checked_stamp("created_at", found.get("created_at")),
        updated_at=checked_stamp("updated_at", found.get("updated_at")),
        revision=revision,
    )


# ---- columns


def _optional(column: str, value: object) -> str | None:
    return None if value is None else check_text(column, value, _MAX_TEXT_BYTES)


def _task(value: object) -> str:
    if not isinstance(value, str) or value not in TASKS:
        raise InvalidArgumentError(f"task {shown(value)}: expected one of {', '.join(TASKS)}")
    return value


def _base(model: ModelName, value: object) -> str | None:
    """Return the key of a base model, which must be one that the owner can see."""
    if value is None:
        return None
    text = check_text("base_model", value, _MAX_TEXT_BYTES)
    try:
        base = ModelName.parse(text)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"base_model: {error}") from error
    if base.tenant not in {None, model.tenant}:
        raise InvalidArgumentError(f"base_model {shown(value)}: expected a model of the same owner")
    return base.key


def _config(value: object) -> Mapping[str, Json]:
    copy = {} if value is None else json_copy("config", value)
    if not isinstance(copy, dict):
        raise InvalidArgumentError(f"config {shown(value)}: expected a JSON object")
    return cast("Mapping[str, Json]", copy)
