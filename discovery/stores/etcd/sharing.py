"""Which commits may travel in one request. Sans-I/O.

etcd looks at all the guards of a request before it writes anything of it. So two commits share one
only if neither writes what the other one looks at or writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.store import AtRevision, NoPutAfter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from discovery.store import Guard, Op


class Footprint:
    """What one or several commits look at, and what they write."""

    def __init__(self) -> None:
        self._written: set[str] = set()
        self._above: set[str] = set()  # every prefix that something written is under
        self._seen: set[str] = set()
        self._prefixes: set[str] = set()

    def meets(self, ops: Sequence[Op], guards: Sequence[Guard]) -> bool:
        """Say whether a further commit looks at what these write, or writes what they look at."""
        return any(self._is_met_by(op.key) for op in ops) or any(map(self._is_looked_at_by, guards))

    def add(self, ops: Sequence[Op], guards: Sequence[Guard]) -> None:
        """Take in a further commit."""
        for op in ops:
            self._written.add(op.key)
            self._above.update(_prefixes_of(op.key))
        for guard in guards:
            match guard:
                case AtRevision(key, _):
                    self._seen.add(key)
                case NoPutAfter(prefix, _):
                    self._prefixes.add(prefix)

    def _is_met_by(self, key: str) -> bool:
        return (
            key in self._written
            or key in self._seen
            or not self._prefixes.isdisjoint(_prefixes_of(key))
        )

    def _is_looked_at_by(self, guard: Guard) -> bool:
        match guard:
            case AtRevision(key, _):
                return key in self._written
            case NoPutAfter(prefix, _):
                return prefix in self._above


def _prefixes_of(key: str) -> Collection[str]:
    """Return every prefix that `key` is under, "" among them."""
    ends = [at + 1 for at, character in enumerate(key) if character == "/"]
    return ["", *(key[:end] for end in ends)]
