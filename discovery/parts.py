"""Messages that come in parts, put together. Sans-I/O."""

from __future__ import annotations

from typing import Generic, TypeVar

M = TypeVar("M")


class Parts(Generic[M]):
    """The parts that are here of messages that are not complete yet, by number of the message."""

    def __init__(self) -> None:
        self._by_number: dict[int, dict[int, M]] = {}

    def __len__(self) -> int:
        """Return how many parts are here."""
        return sum(map(len, self._by_number.values()))

    def add(self, number: int, part: int, count: int, message: M) -> list[M] | None:
        """Add a part; return all of them, in no promised order, once `count` distinct are here."""
        parts = self._by_number.setdefault(number, {})
        parts[part] = message
        return list(parts.values()) if len(parts) >= count else None

    def drop_through(self, number: int) -> None:
        """Forget the messages up to `number`."""
        if self._by_number:
            self._by_number = {n: p for n, p in self._by_number.items() if n > number}

    def take(self) -> list[M]:
        """Return all parts and forget them."""
        by_number, self._by_number = self._by_number, {}
        return [message for parts in by_number.values() for message in parts.values()]
