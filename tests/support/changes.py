"""Valid messages with some of their structure changed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


ODD_VALUES = [
    *(None, True, 0, -1, 7, 2**53, 2**63, 2**64 - 1, 2**64, 10**30, 10**9, -0.0, 1.5, 1e308),
    *(float("nan"), float("inf"), "", ".", "..", "a/b", "x", "x" * 300, "x" * 2000, "\0", "\n"),
    *("\x1b[0m", "é", "\ud800", "models", "endpoints", "status", b"", b"\xff", [], {}, [[]]),
    *([None] * 100, [{}], {"": 1}, {"op": "status"}, {"x" * 300: []}, {"a": {"b": {"c": 1}}}),
    *(deep(20), deep(30), deep(40), deep(600)),
]
KINDS = ["replace", "drop", "add", "wrap", "double", "as text", "move"]


@dataclass(frozen=True)
class Change:
    """What is done to a message, at one of its places."""

    kind: str
    at: int
    value: object


CHANGES = st.builds(Change, st.sampled_from(KINDS), st.integers(0, 40), st.sampled_from(ODD_VALUES))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a message, as its container and its key or index there."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def change(message: dict[str, Any], how: Change) -> None:
    found = list(places(message))
    if not found:
        return
    within, key = found[how.at % len(found)]
    old, value = within[key], copy.deepcopy(how.value)
    match how.kind:
        case "replace":
            within[key] = value
        case "drop":
            del within[key]
        case "add" if isinstance(within, list):
            within.insert(key, value)
        case "add":
            within["added"] = value
        case "wrap":
            within[key] = [old]
        case "double":
            within[key] = [old, copy.deepcopy(old)]
        case "as text":
            within[key] = str(old)
        case _:
            message["moved"] = within.pop(key)
