"""Entries by key, with prefixes that end at "/" answered in the time of what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discovery.store import Entry


class _Node:
    """One "/"-ended prefix: what lies directly below it.

    Nothing below was put after `last_put`; what was put then may be deleted since.
    """

    __slots__ = ("below", "entries", "last_put")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}  # folders by name
        self.entries: dict[str, Entry] = {}  # by key: a name would be one more text for each
        self.last_put = 0

    @property
    def is_empty(self) -> bool:
        return not self.below and not self.entries


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it is "" or ends with "/"; raise `InvalidArgumentError` otherwise."""
    if prefix and not prefix.endswith("/"):
        raise InvalidArgumentError(f"prefix {prefix!r}: expected '' or a text that ends with '/'")
    return prefix


class KeyTree:
    """All live entries. Not a place for rules: it does what it is told."""

    def __init__(self) -> None:
        self._root = _Node()
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """Return the entry of exactly this key."""
        return self._entries.get(key)

    def put(self, entry: Entry) -> None:
        """Add or replace an entry; every prefix above it was then last put at its revision."""
        self._entries[entry.key] = entry
        node = self._root
        node.last_put = entry.revision
        for folder in entry.key.split("/")[:-1]:
            child = node.below.get(folder)
            if child is None:
                child = node.below[folder] = _Node()
            node = child
            node.last_put = entry.revision
        node.entries[entry.key] = entry

    def delete(self, key: str) -> None:
        """Remove an entry that is there, and the folders that it leaves empty."""
        del self._entries[key]
        folders = key.split("/")[:-1]
        path = [self._root]
        for folder in folders:
            path.append(path[-1].below[folder])
        del path[-1].entries[key]
        for depth in range(len(folders), 0, -1):
            if not path[depth].is_empty:
                break
            del path[depth - 1].below[folders[depth - 1]]

    def was_put_after(self, prefix: str, revision: int) -> bool:
        """Say whether something that is now under `prefix` was put after `revision`.

        No costs nothing; a yes looks at all that is there.
        """
        node = self._find(prefix)
        if node is None or node.last_put <= revision:
            return False
        node.last_put = max((entry.revision for entry in _walk(node)), default=0)
        return node.last_put > revision

    def under(self, prefix: str) -> list[Entry]:
        """Return the entries under `prefix` in ascending order of key."""
        node = self._find(prefix)
        return sorted(_walk(node), key=lambda entry: entry.key) if node else []

    def _find(self, prefix: str) -> _Node | None:
        node = self._root
        for folder in check_prefix(prefix).split("/")[:-1]:
            child = node.below.get(folder)
            if child is None:
                return None
            node = child
        return node


def _walk(node: _Node) -> Iterator[Entry]:
    stack = [node]
    while stack:
        node = stack.pop()
        yield from node.entries.values()
        stack.extend(node.below.values())
