"""Reads the maps of messages, and says of bad input which field is wrong and what was expected.

Sans-I/O. A field nobody asked for is an error too: silence about a misspelt one helps no one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from discovery.errors import InvalidArgumentError
from discovery.names import BOOKS, Kind, check_segment, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from discovery.names import Scope

T = TypeVar("T")

_MAX_UINT64 = 2**64 - 1
_MAX_NUMBER = sys.float_info.max
_MAX_LEVELS = 3


class Fields:
    """One map of a message; each field is read once, then `done` refuses what is left."""

    __slots__ = ("_left", "_where")

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict):
            raise InvalidArgumentError(f"{where}: expected a map, got {shown(value)}")
        self._where = where
        self._left = dict(value)

    @property
    def names(self) -> Sequence[object]:
        """What is left to be read."""
        return list(self._left)

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self._left.get(name) is not None

    def text(self, name: str) -> str:
        """Read a text."""
        value = self._left.pop(name, None)
        if not isinstance(value, str):
            raise self._wrong(name, value, "a text")
        return value

    def optional_text(self, name: str) -> str | None:
        """Read a text, or None when it is absent or null."""
        if self.has(name):
            return self.text(name)
        self._left.pop(name, None)
        return None

    def integer(self, name: str, low: int = 0, high: int = _MAX_UINT64) -> int:
        """Read an integer from `low` to `high`."""
        value = self._left.pop(name, None)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(name, value, f"an integer from {low} to {high}")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Read an unsigned integer, or None when it is absent or null."""
        if self.has(name):
            return self.integer(name)
        self._left.pop(name, None)
        return None

    def number(self, name: str) -> float:
        """Read a finite number."""
        value = self._left.pop(name, None)
        if type(value) not in (int, float) or not -_MAX_NUMBER <= value <= _MAX_NUMBER:
            raise self._wrong(name, value, "a number")
        return float(value)

    def seconds(self, name: str) -> float:
        """Read a number of seconds above 0."""
        value = self.number(name)
        if value <= 0:
            raise self._wrong(name, value, "seconds above 0")
        return value

    def flag(self, name: str) -> bool:
        """Read a boolean."""
        value = self._left.pop(name, None)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def items(self, name: str, read: Callable[[str, object], T]) -> Sequence[T]:
        """Read a list, each item by `read(where, value)`."""
        value = self._left.pop(name, None)
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        where = f"{self._where}.{name}"
        return [read(f"{where}[{index}]", item) for index, item in enumerate(value)]

    def map(self, name: str) -> Fields:
        """Read a map."""
        return Fields(f"{self._where}.{name}", self._left.pop(name, None))

    def raw(self, name: str) -> object:
        """Read a value as it is, for a reader of its own; None when absent."""
        return self._left.pop(name, None)

    def scope(self, name: str) -> Scope:
        """Read a scope: a kind and up to three names."""
        return read_scope(f"{self._where}.{name}", self._left.pop(name, None))

    def done(self) -> None:
        """Refuse what was not read."""
        if self._left:
            first = min(map(str, self._left))
            raise InvalidArgumentError(f"{self._where}: unknown field {shown(first)}")

    def _wrong(self, name: str, value: object, expected: str) -> InvalidArgumentError:
        got = "nothing" if value is None else shown(value)
        return InvalidArgumentError(f"{self._where}.{name}: expected {expected}, got {got}")


def read_scope(where: str, value: object) -> Scope:
    """Return the scope that a message's list stands for."""
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_LEVELS + 1:
        raise InvalidArgumentError(
            f"{where}: expected a kind and up to {_MAX_LEVELS} names, got {shown(value)}"
        )
    kind, *names = value
    if kind not in (*Kind, *BOOKS):
        expected = [*map(str, Kind), *BOOKS]
        raise InvalidArgumentError(f"{where}: kind {shown(kind)}, expected {expected}")
    return (str(kind), *(check_segment(where, name) for name in names))


def read_text(where: str, value: object) -> str:
    """Return a text that is an item of a list."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{where}: expected a text, got {shown(value)}")
    return value
