"""What a model of the catalog is called: tenant, name and version, which make its primary key.

Sans-I/O. Source: spec/models.md §1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from discovery.bookkeys import catalog_key, catalog_owner, catalog_scope
from discovery.errors import InvalidArgumentError
from discovery.names import MAX_SEGMENT_BYTES, check_text, shown

if TYPE_CHECKING:
    from discovery.names import Scope

_BETWEEN: Final = "::"
_MAX_VERSION: Final = 2**63 - 1
_MAX_TENANT_BYTES: Final = 64


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
    text = check_text(what, value, most_bytes)
    if _BETWEEN in text or text[0] == ":" or text[-1] == ":":
        raise InvalidArgumentError(
            f"{what} {shown(value)}: expected no '::' in it and no ':' at an end, which stand "
            "between the parts of a key"
        )
    return text
