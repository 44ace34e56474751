"""Where the model plane's records lie in the store: catalog and claims. Sans-I/O.

    models/catalog/{owner}/{name}/{version}   a model of the catalog
    models/catalog-heads/{owner}              rewritten with each change of an owner's part of it
    models/claims/{object name}               the claim of a download
    models/claim-owners/{object name}         under the lease of whoever is downloading

An owner is `global`, or `tenant.` and the tenant; names are percent-encoded. Source:
spec/models.md §1 and §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from discovery.errors import InvalidArgumentError
from discovery.keys import encode_segment
from discovery.names import BOOKS, Scope, check_segment, shown

CATALOG, CLAIMS = BOOKS

CLAIM_OWNERS_PREFIX: Final = "models/claim-owners/"
_ROWS: Final = "models/catalog/"
_HEADS: Final = "models/catalog-heads/"
_CLAIMS: Final = "models/claims/"
_ROW_NAMES: Final = 3  # owner, name and version


@dataclass(frozen=True, slots=True)
class BookEntry:
    """A record of catalog or claims as a watcher holds it: its bytes at a revision."""

    key: str
    value: bytes
    revision: int

    @property
    def id(self) -> str:
        """The key."""
        return self.key


@dataclass(frozen=True, slots=True)
class BookQuery:
    """All records of one scope of catalog or claims."""

    scope: Scope

    def matches(self, _: object) -> bool:
        """Say that every record is asked for."""
        return True


def catalog_owner(tenant: str | None) -> str:
    """Return what a tenant's part of the catalog is called, the global part for None."""
    return "global" if tenant is None else f"tenant.{encode_segment(tenant)}"


def catalog_scope(owner: str, name: str) -> Scope:
    """Return the scope of all versions of a name."""
    return (CATALOG, owner, encode_segment(name))


def catalog_key(owner: str, name: str, version: int) -> str:
    """Return the key of one model."""
    return f"{_ROWS}{owner}/{encode_segment(name)}/{version}"


def catalog_head_key(owner: str) -> str:
    """Return the key that is rewritten with each change of an owner's part."""
    return f"{_HEADS}{owner}"


def claim_key(name: str) -> str:
    """Return the key of the claim of an object."""
    return f"{_CLAIMS}{name}"


def claim_owner_key(name: str) -> str:
    """Return the key that says, as long as it is there, that the claim's owner lives."""
    return f"{CLAIM_OWNERS_PREFIX}{name}"


def is_book_key(key: str) -> bool:
    """Say whether a key is one of catalog or claims."""
    return key.startswith((_ROWS, _CLAIMS, CLAIM_OWNERS_PREFIX))


def book_scope(key: str) -> Scope:
    """Return the scope of a key of catalog or claims.

    Raises `InvalidArgumentError` for one that names nothing.
    """
    _, kind, *names = key.split("/")
    if kind == CATALOG and len(names) == _ROW_NAMES:
        return (CATALOG, check_segment("owner", names[0]), check_segment("name", names[1]))
    if kind != CATALOG and len(names) == 1:
        return (CLAIMS, check_segment("object name", names[0]))
    raise InvalidArgumentError(f"Invalid key {shown(key)}: names nothing of catalog or claims")
