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

_Path: TypeAlias = "tuple[_Path, str | int] | str"
"""Where a value is: its container's path and its name there. Only errors make a text of it: a text
for each of 100,000 values under a name of 500 KB would be 50 GB."""

_SHOWN_NAME: Final = 60
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
    return _copy(field, value, depth)


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


def _copy(at: _Path, value: object, depth: int) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(at, value)
    if isinstance(value, int | float):
        return _number(at, value)
    if isinstance(value, Mapping | list | tuple):
        if depth == 0:
            raise InvalidArgumentError(f"{_told(at)} is nested too deep: at most {MAX_JSON_DEPTH}")
        if isinstance(value, Mapping):
            return {
                _name(at, name): _copy((at, name), item, depth - 1) for name, item in value.items()
            }
        return [_copy((at, index), item, depth - 1) for index, item in enumerate(value)]
    raise InvalidArgumentError(f"{_told(at)} must be a JSON value, got {shown(value)}")


def _told(at: _Path) -> str:
    """Return a path as text, its names cut when they are long."""
    if isinstance(at, str):
        return at
    above, name = at
    if isinstance(name, int):
        return f"{_told(above)}[{name}]"
    short = name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}…"
    return f"{_told(above)}.{short if short.isprintable() else repr(short)}"


def _name(at: _Path, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidArgumentError(f"{_told(at)} must have string keys, got {shown(name)}")
    return _text(at, name, " key")


def _text(at: _Path, text: str, what: str = "") -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgumentError(
            f"{_told(at)}{what} {shown(text)} has a lone surrogate: expected text that UTF-8 can "
            "carry"
        ) from exc
    return str.__str__(text)


def _number(at: _Path, number: float) -> int | float:
    if isinstance(number, int):
        if not _MIN_INTEGER <= number <= _MAX_INTEGER:
            raise InvalidArgumentError(
                f"{_told(at)} {shown(number)} is out of range: expected -2**63 to 2**64 - 1"
            )
        return int(number)
    if not math.isfinite(number):
        raise InvalidArgumentError(f"{_told(at)} must be a finite number, got {number!r}")
    return float(number)
