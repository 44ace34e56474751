"""One model of the catalog: its key, its fields, and how they change. Sans-I/O.

Source: spec/models.md §1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from discovery.bookkeys import catalog_key, catalog_owner, catalog_scope
from discovery.errors import InvalidArgumentError, RecordError
from discovery.jsonvalue import json_copy
from discovery.names import MAX_SEGMENT_BYTES, shown
from discovery.stamps import checked_stamp
from discovery.wire import decode_object, encode_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.bookkeys import BookEntry
    from discovery.jsonvalue import Json
    from discovery.names import Scope
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

_BETWEEN: Final = "::"
_MAX_VERSION: Final = 2**63 - 1
_MAX_TENANT_BYTES: Final = 64
_MAX_TEXT_BYTES: Final = 4096
_TENANT_PARTS: Final = 3


class CatalogStatus(StrEnum):
    """What has become of a model."""

    REGISTERED = "registered"
    LOADED = "loaded"
    FAILED = "failed"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """Which model: of a tenant, or with None of all; `version` from 1."""

    tenant: str | None
    name: str
    version: int

    @property
    def key(self) -> str:
        """The catalog's primary key. It is built here and nowhere else."""
        words = [self.name, str(self.version)]
        return _BETWEEN.join(words if self.tenant is None else [self.tenant, *words])

    @property
    def owner(self) -> str:
        """What the part of the catalog is called that it is in."""
        return catalog_owner(self.tenant)

    @property
    def row(self) -> str:
        """Where its record lies in the store."""
        return catalog_key(self.owner, self.name, self.version)

    @property
    def scope(self) -> Scope:
        """The scope of all of its versions."""
        return catalog_scope(self.owner, self.name)

    @classmethod
    def of(cls, tenant: object, name: object, version: object) -> ModelName:
        """Return the model that these name. Raises `InvalidArgumentError` for what is no name."""
        return cls(
            tenant=check_tenant(tenant), name=check_name(name), version=check_version(version)
        )

    @classmethod
    def parse(cls, key: str) -> ModelName:
        """Return the model of a primary key. Raises `InvalidArgumentError` for what is none."""
        *above, version = key.split(_BETWEEN)
        if len(above) not in {1, 2} or not version.isascii() or not version.isdecimal():
            raise InvalidArgumentError(
                f"catalog key {shown(key)}: expected name::version or tenant::name::version"
            )
        found = cls.of(above[0] if len(above) > 1 else None, above[-1], int(version[:20]))
        if found.key != key:
            raise InvalidArgumentError(f"catalog key {shown(key)}: expected {found.key}")
        return found


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
        model_type=_text("model_type", model_type),
        backend=_text("backend", backend),
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


# ---- names


def check_tenant(value: object) -> str | None:
    """Return a tenant, None for none. Raises `InvalidArgumentError` for what is no name."""
    return None if value is None else _part("tenant", value, _MAX_TENANT_BYTES)


def check_name(value: object) -> str:
    """Return a model's name. Raises `InvalidArgumentError` for what is none."""
    name = _part("name", value, MAX_SEGMENT_BYTES)
    encoded = len(catalog_scope("", name)[-1])
    if encoded > MAX_SEGMENT_BYTES:
        raise InvalidArgumentError(
            f"name {shown(name)}: has {encoded} bytes when percent-encoded, expected "
            f"{MAX_SEGMENT_BYTES} at most"
        )
    return name


def check_version(value: object) -> int:
    """Return a version. Raises `InvalidArgumentError` for what is none."""
    if type(value) is not int or not 1 <= value <= _MAX_VERSION:
        raise InvalidArgumentError(f"version {shown(value)}: expected an integer of 1 or more")
    return value


def _part(what: str, value: object, most_bytes: int) -> str:
    """Return a part of a primary key, from which no other key can be made."""
    if not isinstance(value, str) or not value or not _is_text(value, most_bytes):
        raise InvalidArgumentError(
            f"{what} {shown(value)}: expected 1 to {most_bytes} bytes of UTF-8 without control "
            "characters"
        )
    if _BETWEEN in value or value[0] == ":" or value[-1] == ":":
        raise InvalidArgumentError(
            f"{what} {shown(value)}: expected no '::' in it and no ':' at an end, which stand "
            "between the parts of a key"
        )
    return value


# ---- columns


def _text(column: str, value: object) -> str:
    if not isinstance(value, str) or not value or not _is_text(value, _MAX_TEXT_BYTES):
        raise InvalidArgumentError(
            f"{column} {shown(value)}: expected 1 to {_MAX_TEXT_BYTES} bytes of UTF-8 without "
            "control characters"
        )
    return value


def _optional(column: str, value: object) -> str | None:
    return None if value is None else _text(column, value)


def _task(value: object) -> str:
    if not isinstance(value, str) or value not in TASKS:
        raise InvalidArgumentError(f"task {shown(value)}: expected one of {', '.join(TASKS)}")
    return value


def _base(model: ModelName, value: object) -> str | None:
    """Return the key of a base model, which must be one that the owner can see."""
    if value is None:
        return None
    text = _text("base_model", value)
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


def _is_text(value: str, most_bytes: int) -> bool:
    try:
        return len(value.encode()) <= most_bytes and value.isprintable()
    except UnicodeEncodeError:
        return False
