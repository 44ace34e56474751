"""The words of the watch protocol, between `feed` (producer) and `follower` (consumer). Sans-I/O.

Their bytes are made and read in `messages`; what each is for is told in docs/protocol.md. `C` is
how a change is held: as a `Record` where it is sent, as an `ItemChange` where it has been read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.events import Cause
    from discovery.instance import Instance
    from discovery.names import Scope

C = TypeVar("C")

DIGEST_MODULUS = 1 << 64
"""A scope's digest is a sum of `item_digest` modulo this."""


@dataclass(frozen=True, slots=True)
class Record:
    """One key as it is sent: its JSON at `revision`, or None when it went out of sight."""

    key: str
    revision: int
    value: bytes | None
    cause: Cause | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One record as a consumer holds it; `instance` is None when this consumer cannot read it."""

    key: str
    revision: int
    instance: Instance | None


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One key as a consumer gets it: its new item, or None when it went out of sight."""

    key: str
    item: Item | None
    cause: Cause | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[C]):
    """What one revision did in one leaf scope, or a part of it.

    `prev[level]` is the revision of the previous change in the scope of that level above `scope`
    (0: the whole kind), `parts[level]` how many EVENTs this revision has there, `part` tells them
    apart. `is_doubtful`: leases that ended may be those of workers who live.
    """

    daemon: str
    epoch: str
    revision: int
    scope: Scope
    prev: tuple[int, ...]
    parts: tuple[int, ...]
    part: int
    is_doubtful: bool
    changes: Sequence[C]


@dataclass(frozen=True, slots=True)
class ScopeHead:
    """Where a scope stands: the revision of its last change and its digest."""

    scope: Scope
    head: int
    digest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Where all scopes stand. A scope not listed has not changed after `window`.

    `age_s`: since the daemon's own proof of its store. `time_s`: the daemon's clock, whose zero
    means nothing.
    """

    daemon: str
    epoch: str
    number: int
    head: int
    window: int
    scopes: Sequence[ScopeHead]
    is_recovering: bool
    age_s: float
    time_s: float
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """Bring me from `since` of `epoch` to where you are, once you are at `at_least`.

    `epoch` None: I have nothing.
    """

    number: int
    scope: Scope
    epoch: str | None
    since: int
    at_least: int = 0


@dataclass(frozen=True, slots=True)
class Commit(Generic[C]):
    """What one revision did within the scope that was asked for."""

    revision: int
    changes: Sequence[C]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAnswer(Generic[C]):
    """The commits after `since` (a backfill) or the whole scope (`snapshot`), as of `revision`.

    `is_recovering`: what is not here may belong to workers who have not been heard since another
    epoch. `is_doubtful`: it may also be of this one, where leases ran out that nobody could renew.
    `time_s`: the daemon's clock when the request arrived.
    """

    number: int
    daemon: str
    epoch: str
    revision: int
    digest: int
    is_recovering: bool
    is_doubtful: bool
    age_s: float
    time_s: float
    commits: Sequence[Commit[C]] | None = None
    snapshot: Sequence[C] | None = None


def item_digest(key: str, revision: int) -> int:
    """Return the 64-bit number that one record adds to the digest of each scope it is in."""
    text = f"{key}|{revision}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
