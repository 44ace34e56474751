"""Model cards: from the caller's object to JSON and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from discovery.errors import InvalidArgumentError
from discovery.jsonvalue import Json, json_copy
from discovery.names import shown

T = TypeVar("T")


def display_name_of(card: Mapping[str, Json]) -> str:
    """Return the card's `display_name`.

    Raises:
        InvalidArgumentError: it is missing or no string.
    """
    name = card.get("display_name")
    if isinstance(name, str):
        return name
    raise InvalidArgumentError(
        "card.display_name: failed to deserialize model display_name from card_json: "
        f"expected a string, got {shown(name) if 'display_name' in card else 'nothing'}"
    )


def is_lora_card(card: Mapping[str, Json], suffix: str | None) -> bool:
    """Return whether this is an adapter: it has a suffix or a non-null `lora`."""
    return suffix is not None or card.get("lora") is not None


def checked_card(card: object) -> dict[str, Json]:
    """Return a private copy of `card`, a mapping that can be written as a model's card.

    Raises:
        InvalidArgumentError: it is no mapping, not JSON, or has no `display_name`.
    """
    if not isinstance(card, Mapping):
        raise InvalidArgumentError(f"card must be a mapping, got {shown(card)}")
    copy = cast("dict[str, Json]", json_copy("card", card))
    if not display_name_of(copy):
        raise InvalidArgumentError(
            "card.display_name: failed to deserialize model display_name from card_json: "
            "expected a non-empty string, got ''"
        )
    source_path = copy.get("source_path")
    if source_path is not None and not isinstance(source_path, str):
        raise InvalidArgumentError(
            f"card.source_path: expected a string or nothing, got {shown(source_path)}"
        )
    return copy


def mapping_from_object(card: object) -> Mapping[str, object]:
    """Return the fields of a mapping, a dataclass instance or an object with `model_dump()`.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    if isinstance(card, Mapping):
        return card
    if dataclasses.is_dataclass(card) and not isinstance(card, type):
        return dataclasses.asdict(card)
    dump = getattr(card, "model_dump", None)
    dumped = dump() if callable(dump) and not isinstance(card, type) else None
    if isinstance(dumped, Mapping):
        return dumped
    raise InvalidArgumentError(
        "card must be a mapping, a dataclass instance or an object whose model_dump() returns a "
        f"mapping, got {shown(card)}"
    )


def card_as(card: Mapping[str, Json], target: Callable[..., T]) -> T:
    """Return `card` as a `target`.

    Args:
        card: the fields; `target` gets a copy of its own.
        target: a class with `model_validate`; a dataclass, which gets the fields it has and whose
            nested values stay plain JSON; or anything that takes the mapping, `dict` for one.

    Raises:
        InvalidArgumentError: `target` refused it.
    """
    fields = cast("dict[str, object]", json_copy("card", card))
    validate = getattr(target, "model_validate", None)
    try:
        if callable(validate):
            return cast("T", validate(fields))
        if isinstance(target, type) and dataclasses.is_dataclass(target):
            wanted = {field.name for field in dataclasses.fields(target) if field.init}
            return cast("T", target(**{name: fields[name] for name in fields if name in wanted}))
        return target(fields)
    except (TypeError, ValueError, LookupError, AttributeError) as exc:
        name = getattr(target, "__qualname__", repr(target))
        raise InvalidArgumentError(
            f"card {shown(card.get('display_name'))} cannot be read as {name}: {exc}"
        ) from exc
