"""What in a cache was used when, and what is in use, by claims and registered models. Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.artifacts.entry import claimed_name, entry_of
from discovery.errors import InvalidArgumentError
from discovery.modelname import ModelName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from discovery.claimrecord import ClaimRecord

CARD_FIELD = "artifact"
"""Where a card says which files its model has: `{"cache": id of the cache, "entry": name}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What in a cache was used when, and what is in use.

    Attributes:
        order: entries, the one that was not used for longest first; others go before these.
        kept: entries that are in use, whatever else says so.
    """

    order: Sequence[str] = ()
    kept: Collection[str] = ()


def claim_name(cache_id: str, provider: str, model: ModelName) -> str:
    """Return the name of the claim of a model's files in one cache."""
    called = claimed_name(model.name, model.version, model.tenant)
    return f"{cache_id}/{provider}/{called}"


def entries_by_last_use(cache_id: str, claims: Iterable[ClaimRecord]) -> Sequence[str]:
    """Return the entries of a cache, the one that was not used for longest first.

    Args:
        cache_id: of the cache.
        claims: all there are, in that order.
    """
    return [model_entry(model) for _, model in _claimed(cache_id, claims)]


def entries_in_use(
    cache_id: str,
    claims: Iterable[ClaimRecord],
    cards: Iterable[Mapping[str, object]],
    models: Iterable[ModelName] = (),
) -> set[str]:
    """Return the entries that registered models may use, and those that are being downloaded.

    A card that says which cache it uses counts there. One that does not may use any: it counts
    wherever there is a model of its name.

    Args:
        cache_id: of the cache.
        claims: all there are.
        cards: of the models that are registered.
        models: of the catalog: what was pulled by hand has no claim.
    """
    used = set()
    versions: dict[str, set[str]] = {}
    for model in models:
        versions.setdefault(model.name, set()).add(model_entry(model))
    for claim, model in _claimed(cache_id, claims):
        versions.setdefault(model.name, set()).add(model_entry(model))
        if claim.owner is not None:
            used.add(model_entry(model))
    for card in cards:
        artifact = card.get(CARD_FIELD)
        if isinstance(artifact, dict) and isinstance(artifact.get("cache"), str):
            if artifact["cache"] == cache_id:
                used.add(str(artifact.get("entry")))
            continue
        named = card.get("display_name")
        used |= versions.get(named, set()) if isinstance(named, str) else set()
        model_of_key = _model(card.get("catalog_key"))
        if model_of_key is not None:
            used.add(model_entry(model_of_key))
    return used


def model_entry(model: ModelName) -> str:
    """Return the entry of a model."""
    return entry_of(model.name, model.version, model.tenant)


def _claimed(
    cache_id: str, claims: Iterable[ClaimRecord]
) -> Iterator[tuple[ClaimRecord, ModelName]]:
    for claim in claims:
        start = f"{cache_id}/{claim.provider}/"
        called, between, version = claim.model_name.removeprefix(start).rpartition("@")
        if claim.model_name.startswith(start) and between:
            model = _model(f"{called}::{version}")
            if model is not None:
                yield claim, model


def _model(key: object) -> ModelName | None:
    try:
        return ModelName.parse(key) if isinstance(key, str) else None
    except InvalidArgumentError:
        return None
