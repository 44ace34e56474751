"""Which models of one endpoint are visible when some of them contradict each other. Sans-I/O."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from discovery.identity import ModelIdentity, is_compatible

if TYPE_CHECKING:
    from collections.abc import Sequence


class Contest:
    """The models of one endpoint.

    Our own writers never let two contradict; writers of the peer system check and then act, so they
    can. A record is visible when it is compatible with every one created before it.
    """

    __slots__ = ("_members", "_stances", "counts", "is_clean")

    def __init__(self) -> None:
        self._members: dict[str, tuple[int, ModelIdentity]] = {}
        self._stances: dict[ModelIdentity, int] = {}  # few, however many adapters there are
        self.counts: dict[ModelIdentity, int] = {}
        """How many records there are of each identity."""
        self.is_clean = True
        """No two records contradict each other."""

    def put(self, key: str, created: int, identity: ModelIdentity) -> None:
        """Add or replace a record, made at revision `created`."""
        self.drop(key)
        self._members[key] = (created, identity)
        _add(self.counts, identity)
        stance = _stance_of(identity)
        if _add(self._stances, stance) == 1 and self.is_clean:
            self.is_clean = all(is_compatible(stance, other) for other in self._stances)

    def drop(self, key: str) -> None:
        """Remove a record if it is there."""
        member = self._members.pop(key, None)
        if member is None:
            return
        _, identity = member
        _subtract(self.counts, identity)
        if _subtract(self._stances, _stance_of(identity)) == 0 and not self.is_clean:
            self.is_clean = all(is_compatible(a, b) for a, b in combinations(self._stances, 2))

    def oldest(self, identity: ModelIdentity) -> int | None:
        """Return the revision at which the first record of `identity` was made, None if none is.

        Looks at every record: for refusals, not for each change.
        """
        created = (at for at, held in self._members.values() if held == identity)
        return min(created, default=None)

    def visible(self) -> Sequence[str]:
        """Return the keys that are compatible with all created before them, in order of creation.

        Two of one revision go by key, so that every daemon decides alike.
        """
        order = sorted(self._members.items(), key=lambda member: (member[1][0], member[0]))
        earlier: set[ModelIdentity] = set()
        keys: list[str] = []
        for key, (_, identity) in order:
            stance = _stance_of(identity)
            if all(is_compatible(stance, other) for other in earlier):
                keys.append(key)
            earlier.add(stance)
        return keys


def _stance_of(identity: ModelIdentity) -> ModelIdentity:
    """Return what stands for `identity` in a contest: an adapter's own name decides nothing."""
    if identity.is_lora:
        return ModelIdentity(display_name=identity.base, is_lora=True)
    return identity


def _add(counts: dict[ModelIdentity, int], identity: ModelIdentity) -> int:
    count = counts[identity] = counts.get(identity, 0) + 1
    return count


def _subtract(counts: dict[ModelIdentity, int], identity: ModelIdentity) -> int:
    count = counts[identity] = counts[identity] - 1
    if not count:
        del counts[identity]
    return count
