"""User JSON that is passed through: what it may contain, and a private copy of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from discovery.errors import InvalidArgumentError
from discovery.names import shown

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_JSON_DEPTH: Final = 24
"""Nesting allowed in a card; record and message wrap it in up to 8 more (DESIGN §6 allows 32)."""

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**64 - 1


def json_copy(field: str, value: object, *, depth: int = MAX_JSON_DEPTH) -> Json:
    """Return a deep copy of `value` made of dict, list, str, int, float, bool and None.

    Args:
        field: path of the value, for messages ("card.runtime_config").
        value: mappings with string keys, lists, tuples and scalars, subclasses included.
        depth: how many levels of lists and mappings it may have.

    Raises:
        InvalidArgumentError: it has something that JSON, or a 64-bit reader, cannot carry.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(field, value)
    if isinstance(value, int | float):
        return _number(field, value)
    if isinstance(value, Mapping | list | tuple):
        if depth == 0:
            raise InvalidArgumentError(f"{field} is nested too deep: at most {MAX_JSON_DEPTH}")
        if isinstance(value, Mapping):
            return {
                _name(field, name): json_copy(f"{field}.{name}", item, depth=depth - 1)
                for name, item in value.items()
            }
        return [
            json_copy(f"{field}[{index}]", item, depth=depth - 1)
            for index, item in enumerate(value)
        ]
    raise InvalidArgumentError(f"{field} must be a JSON value, got {shown(value)}")


def json_depth_is_within(value: object, limit: int) -> bool:
    """Return whether lists and dicts in `value` are nested at most `limit` levels deep."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
    return not level


def _name(field: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidArgumentError(f"{field} must have string keys, got {shown(name)}")
    return _text(f"{field} key", name)


def _text(field: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgumentError(
            f"{field} {shown(text)} has a lone surrogate: expected text that UTF-8 can carry"
        ) from exc
    return str.__str__(text)


def _number(field: str, number: float) -> int | float:
    if isinstance(number, int):
        if not _MIN_INTEGER <= number <= _MAX_INTEGER:
            raise InvalidArgumentError(
                f"{field} {shown(number)} is out of range: expected -2**63 to 2**64 - 1"
            )
        return int(number)
    if not math.isfinite(number):
        raise InvalidArgumentError(f"{field} must be a finite number, got {number!r}")
    return float(number)
