"""The catalog as one tenant sees it, and what may be served of it. Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.bookkeys import catalog_head_key, catalog_owner
from discovery.catalogrecord import CatalogRecord, decode_catalog, is_retired_in
from discovery.errors import InvalidArgumentError, RecordError
from discovery.mirror import RefusedOnMirrorError
from discovery.modelname import ModelName, check_name
from discovery.names import shown
from discovery.store import AtRevision
from discovery.wire import decode_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from discovery.mirror import Mirror
    from discovery.store import Entry, Guard

_SHOWN_KEY = 200
_MOST_DIGITS = 19  # of a version


def own_then_global(tenant: str | None) -> list[str | None]:
    """Return whose models a tenant sees, in the order in which a name is looked up."""
    return [None] if tenant is None else [tenant, None]


def find(
    mirror: Mirror, tenant: str | None, name: str, version: int | None
) -> CatalogRecord | None:
    """Return the model that a name stands for, retired or not; the highest version for None.

    Raises `RecordError` when its row cannot be read.
    """
    found = _row(mirror, tenant, name, version)
    return decode_catalog(*found) if found else None


def _row(
    mirror: Mirror, tenant: str | None, name: str, version: int | None
) -> tuple[Entry, str | None] | None:
    """Return the row of the model that a name stands for, and whose it is."""
    for owner in own_then_global(tenant):
        if version is not None:
            entry = mirror.get(ModelName(tenant=owner, name=name, version=version).row)
        else:
            scope = ModelName(tenant=owner, name=name, version=1).scope
            entry = max(mirror.under(scope), key=lambda e: _version_in(e.key), default=None)
        if entry is not None:
            return entry, owner
    return None


def visible(mirror: Mirror, tenant: str | None) -> Iterator[CatalogRecord | RecordError]:
    """Yield what a tenant sees, in no promised order; an error for each row that is malformed."""
    for owner in own_then_global(tenant):
        for entry in mirror.under(("catalog", catalog_owner(owner))):
            try:
                yield decode_catalog(entry, owner)
            except RecordError as error:
                yield error


def head_guard(mirror: Mirror, tenant: str | None) -> AtRevision:
    """Return the guard that holds until a tenant's part of the catalog changes."""
    key = catalog_head_key(catalog_owner(tenant))
    entry = mirror.get(key)
    return AtRevision(key, entry.revision if entry else 0)


def serving_guards(
    mirror: Mirror, tenant: str | None, cards: Mapping[str, Mapping[str, object]]
) -> list[Guard]:
    """Return the guards that keep models from being registered while they are being retired.

    Args:
        mirror: what is decided on.
        tenant: whose process registers them.
        cards: of the models, by the key of their record.

    Raises:
        RefusedOnMirrorError: the catalog says that one is retired.
        InvalidArgumentError: a card's `catalog_key` is none.
    """
    if not cards:
        return []
    for card in cards.values():
        row = _served(mirror, tenant, card)
        if row is not None and is_retired_in(row.value):
            raise RefusedOnMirrorError(
                f"model {_called(row)!r}: retired in the catalog, it is not served"
            )
    return [head_guard(mirror, owner) for owner in own_then_global(tenant)]


def _served(mirror: Mirror, tenant: str | None, card: Mapping[str, object]) -> Entry | None:
    """Return the row that a card names, None if there is none that the tenant can see."""
    key = card.get("catalog_key")
    if key is not None:
        model = _named(key)
        if model.tenant not in {None, tenant}:
            return None
        return mirror.get(model.row)
    try:
        name = check_name(card.get("display_name"))
    except InvalidArgumentError:
        return None  # no model of the catalog can be called so
    found = _row(mirror, tenant, name, None)
    return found[0] if found else None


def _called(row: Entry) -> str:
    """Return the key of a retired model as its row says it, or where that lies."""
    key = decode_object(row.value).get("key")
    return (key if isinstance(key, str) else row.key)[:_SHOWN_KEY]


def _named(key: object) -> ModelName:
    try:
        if isinstance(key, str):
            return ModelName.parse(key)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"card.catalog_key: {error}") from error
    raise InvalidArgumentError(f"card.catalog_key: expected a text, got {shown(key)}")


def _version_in(key: str) -> int:
    version = key.rpartition("/")[2]
    return int(version) if version.isdecimal() and len(version) <= _MOST_DIGITS else 0
