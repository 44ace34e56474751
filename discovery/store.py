"""The seam to whatever keeps the records: leases, guarded commits, snapshots, watches.

`Store` is the contract. Each sentence of the docstrings here is one test of the conformance suite
(tests/discovery/stores/test_store_conformance.py), which every implementation passes, fakes
included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from discovery.errors import DiscoveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.events import Cause


class GuardFailedError(DiscoveryError):
    """A guard of a commit did not hold; nothing was written. Read again, decide again."""

    code: ClassVar[str] = "aborted"
    retryable: ClassVar[bool] = True


class CompactedError(DiscoveryError):
    """The changes after the revision asked for are not all kept any more. Take a snapshot."""

    code: ClassVar[str] = "out_of_range"
    retryable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as the store holds it.

    `revision` is that of the last put. `created` is that of the put that made the key; deleted and
    put again, it is made anew. `lease` is the lease that owns it or None. Positional on purpose:
    these are made by the hundred thousand.
    """

    key: str
    value: bytes
    revision: int
    created: int
    lease: int | None


@dataclass(frozen=True, slots=True)
class Put:
    """Write `value` under `key`, owned by `lease`.

    With None it is owned by nobody, and stays until it is deleted.
    """

    key: str
    value: bytes
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete `key`; a key that is absent is no error.

    `cause` and `detail` are handed to watchers by a store that can.
    """

    key: str
    cause: Cause | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class NoPutAfter:
    """Holds when no key now under `prefix` was put after `revision`."""

    prefix: str
    revision: int


@dataclass(frozen=True, slots=True)
class AtRevision:
    """Holds when the last put of `key` was at `revision`; 0 means the key is absent."""

    key: str
    revision: int


Op = Put | Delete
Guard = NoPutAfter | AtRevision


@dataclass(frozen=True, slots=True)
class Change:
    """What one revision did to one key: `entry` is the new state, or None when it was deleted.

    Then `cause` and `detail` say why, as far as the store was told.
    """

    key: str
    entry: Entry | None
    cause: Cause | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Every change of one revision under the prefix; a key is in it at most once."""

    revision: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The entries under a prefix at one revision, in ascending order of key."""

    revision: int
    entries: Sequence[Entry]


class Watch(Protocol):
    """Changes under a prefix, entered before it is read.

    A watch that is not read holds up neither the store nor other watches.
    """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...

    def ready(self) -> Sequence[Batch]:
        """Hand over, without waiting and in order, what has arrived and was not handed over.

        Raises `CompactedError`, again each time it is asked, when one of those changes cannot be
        had any more: nothing is skipped silently. Changes outside the prefix never are a reason.
        """
        ...

    async def wait(self) -> None:
        """Return when `ready` would hand over something; raise when it would raise.

        A wait that is cancelled loses nothing. One task at a time waits.
        """
        ...


class Store(Protocol):
    """Records under keys, each owned by a lease, with one growing revision over all of them.

    Entered before it is used, which raises `UnavailableError` when it cannot be reached; left, it
    frees everything, and leases and records are left to its own rules.

    Prefixes are "" or end with "/"; another one raises `InvalidArgumentError`. The revision grows
    with every commit that changes something. A put changes something even when the value is the
    same. Any call may raise `UnavailableError`, after which nobody knows whether it was done.
    """

    has_guards: bool
    """False: a commit with guards is refused, and the registry goes by way of `pending/`."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...

    @property
    def epoch(self) -> str:
        """Name of the unbroken line of revisions.

        Another value means that continuity is not proven. What is asked of the store in one epoch
        never takes effect in another: it raises `UnavailableError`.
        """
        ...

    @property
    def registry_id(self) -> str | None:
        """Name of the registry kept here, the same from every daemon on it.

        None if nothing outlives a daemon.
        """
        ...

    @property
    def pauses(self) -> int:
        """How often leases may have ended, or nearly so, that this daemon could not renew.

        As when it found that it had itself stood still, or been cut off from a store elsewhere.
        """
        ...

    def age_s(self) -> float:
        """Seconds since it was last proven that what `watch` delivers is not behind the store.

        And that the store was in `epoch` then: of two epochs the one proven later is the later one.
        """
        ...

    def renew_all(self) -> None:
        """Give every lease a full TTL from now, if this process alone decides when they end.

        For when nobody could reach it: nobody's lease may pay for that.
        """
        ...

    async def grant(self, lease_id: int, ttl_s: float) -> float:
        """Make a lease and return its TTL in seconds, which may differ from the one asked for.

        Raises `AlreadyExistsError` while a lease of that id lives. Once that has ended, the id can
        be granted again.
        """
        ...

    async def keep_alive(self, lease_id: int) -> float:
        """Give the lease its full TTL again and return it in seconds.

        Raises `LeaseExpiredError` when the lease has ended, also when its end was not yet noticed.
        """
        ...

    async def revoke(
        self,
        lease_id: int,
        cause: Cause,
        detail: str | None = None,
        guards: Sequence[Guard] = (),
    ) -> int:
        """End the lease and delete its keys in one commit; return the revision of that.

        Cause and detail are handed to watchers by a store that can. Of a lease without keys it is
        the current revision. A lease that ends by itself deletes its keys in one commit too. Raises
        `LeaseExpiredError` when there is no such lease, and for `guards` what `commit` does.
        """
        ...

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        """Apply all of `ops` at one revision and return it, or change nothing.

        A commit that changes nothing returns the current revision, which watches come to. Raises
        `GuardFailedError` when a guard does not hold. Raises `LeaseExpiredError` when a put names a
        lease that has ended. Raises `InvalidArgumentError` when a key appears twice, when puts name
        more than one lease, when there is more than one prefix guard, or when the store has no
        guards and is given one. Of the keys that are there, a commit touches those of one lease at
        most; a store that sees it refuses anything else.
        """
        ...

    async def snapshot(self, prefix: str) -> Snapshot:
        """Return all entries under `prefix` at one revision.

        It has all that was committed before the call.
        """
        ...

    async def revisions_at(self, revision: int) -> Mapping[str, int] | None:
        """Return each key, as of a revision, with the revision of its last put.

        To be compared with what watches have made of it; None if those hand over the store itself.
        Raises `CompactedError` when the store has forgotten how it was then.
        """
        ...

    async def report(self) -> Mapping[str, object]:
        """Return what operators are told of whatever keeps the records; may be nothing."""
        ...

    def watch(self, prefix: str, after: int) -> Watch:
        """Follow every change under `prefix` after the revision `after`.

        There is one batch a revision, once, in order. Revisions that touch nothing under the prefix
        are left out, or are empty batches, which tell how far the watch has come. Entering raises
        `CompactedError` when the changes after `after` are no longer all kept, or when `after` is
        above the store's revision.
        """
        ...
