"""Which commits may travel in one request. Sans-I/O.

etcd looks at all the guards of a request before it writes anything of it. So two commits share one
only if neither writes what the other one looks at or writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.store import AtRevision, NoPutAfter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.store import Guard, Op


class Footprint:
    """What one or several commits look at, and what they write."""

    def __init__(self) -> None:
        self._written: set[str] = set()
        self._touched: set[str] = set()  # written, or looked at
        self._prefixes: tuple[str, ...] = ()  # looked at

    def meets(self, ops: Sequence[Op], guards: Sequence[Guard]) -> bool:
        """Say whether a further commit looks at what these write, or writes what they look at."""
        for op in ops:
            if op.key in self._touched or op.key.startswith(self._prefixes):
                return True
        return any(map(self._is_looked_at_by, guards))

    def add(self, ops: Sequence[Op], guards: Sequence[Guard]) -> None:
        """Take in a further commit."""
        keys = [op.key for op in ops]
        self._written.update(keys)
        self._touched.update(keys)
        for guard in guards:
            match guard:
                case AtRevision(key, _):
                    self._touched.add(key)
                case NoPutAfter(prefix, _):
                    self._prefixes += (prefix,)

    def _is_looked_at_by(self, guard: Guard) -> bool:
        match guard:
            case AtRevision(key, _):
                return key in self._written
            case NoPutAfter(prefix, _):
                return any(key.startswith(prefix) for key in self._written)
