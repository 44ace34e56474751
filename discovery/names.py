"""Kinds of things, and what their names may look like."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from discovery.errors import InvalidArgumentError

MAX_SEGMENT_BYTES: Final = 253
MAX_INSTANCE_ID: Final = 2**64 - 1

Generation: TypeAlias = Literal["a", "b"]
"""Which of the peer's two event-channel forms is written; both are always read."""

Scope: TypeAlias = tuple[str, ...]
"""A kind's value and 0 to 3 levels, topmost first: ("endpoints", "prod", "vllm")."""

_SHOWN_CHARACTERS: Final = 120
_CACHED_SEGMENTS: Final = 8192
# Control characters are Unicode's category Cc; the last range is what UTF-8 cannot carry.
_FORBIDDEN: Final = re.compile("[/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EXPECTED: Final = (
    f"expected 1-{MAX_SEGMENT_BYTES} bytes of UTF-8 without '/', control characters or lone "
    "surrogates, and neither '.' nor '..'"
)


class Kind(StrEnum):
    """What is registered."""

    ENDPOINTS = "endpoints"
    MODELS = "models"
    CHANNELS = "channels"


BOOKS: Final = ("catalog", "claims")
"""The scopes of the model plane: what there is besides what is registered."""


def shown(value: object) -> str:
    """Return `value` for an error message, cut when it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more than 4300 digits, nesting without end
        text = f"a huge {type(value).__name__}"
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"


def check_segment(field: str, value: object) -> str:
    """Return `value` when it can be a name between two slashes (DESIGN §3).

    Args:
        field: what the value is, for the message.
        value: the name.

    Raises:
        InvalidArgumentError: it is no string, or breaks a rule.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{field} must be a string, got {shown(value)}")
    if len(value) > MAX_SEGMENT_BYTES:
        fault: str | None = "is too long"
    else:
        fault = _fault_of(value)
    if fault is not None:
        raise InvalidArgumentError(f"{field} {shown(value)} {fault}: {_EXPECTED}")
    return value


@lru_cache(maxsize=_CACHED_SEGMENTS)
def _fault_of(value: str) -> str | None:
    if not value:
        return "is empty"
    if value in {".", ".."}:
        return "is a relative path"
    found = _FORBIDDEN.search(value)
    if found is not None:
        return f"contains {found.group()!r}"
    return "is too long" if len(value.encode()) > MAX_SEGMENT_BYTES else None


def check_text(field: str, value: object, most_bytes: int) -> str:
    """Return `value` when it is a text of one line, which may have slashes in it.

    Args:
        field: what the value is, for the message.
        value: the text.
        most_bytes: of its UTF-8.

    Raises:
        InvalidArgumentError: it is no string, empty, too long, or has what cannot be printed.
    """
    # What can be printed can be encoded: it has no lone surrogates.
    if isinstance(value, str) and value.isprintable() and 0 < len(value.encode()) <= most_bytes:
        return value
    raise InvalidArgumentError(
        f"{field} {shown(value)}: expected 1 to {most_bytes} bytes of UTF-8 without control "
        "characters"
    )


def check_instance_id(field: str, value: object) -> int:
    """Return `value` when it is an unsigned 64-bit integer.

    Raises:
        InvalidArgumentError: it is not.
    """
    if type(value) is not int or not 0 <= value <= MAX_INSTANCE_ID:
        raise InvalidArgumentError(
            f"{field} must be an integer from 0 to 2**64 - 1, got {shown(value)}"
        )
    return value
