"""What processes under fault write down as it happens, and how that is read when they are gone.

A record is one pickle. It is handed to the kernel at once, so that SIGKILL loses none that was
written; what was being written is cut off, and not read.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discovery.clock import monotonic_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from discovery.follower import Follower, StreamState
    from discovery.names import Scope
    from discovery.protocol import Item
    from discovery.view import Shown


class Log:
    """A file of records, written by one process in one of its lives."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, record: object) -> None:
        """Add a record."""
        self._file.write(pickle.dumps(record))


def records_of(path: Path) -> Iterator[Any]:
    """Yield what was written, up to the first record that is not whole."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # noqa: S301 - our own processes wrote it
            except (EOFError, pickle.UnpicklingError):
                return


@dataclass(frozen=True)
class Seen:
    """One follower of a router at a moment: all that it says, and what it made known just then.

    `at` is on the clock that all processes of a machine share.
    """

    at: float
    scope: Scope
    shown: Sequence[Shown]
    daemon: str | None
    epoch: str | None
    revision: int
    is_synced: bool
    state: StreamState
    staleness_s: float
    digest: int
    items: Mapping[str, Item]
    held: Mapping[str, Item]
    counters: Mapping[str, int]


def seen(follower: Follower, shown: Sequence[Shown]) -> Seen:
    """Return what a follower says now."""
    now, counters, view = monotonic_s(), follower.counters, follower._view
    return Seen(
        at=now,
        scope=follower.scope,
        shown=list(shown),
        daemon=follower.daemon,
        epoch=follower.epoch,
        revision=follower.revision,
        is_synced=follower.is_synced,
        state=follower.state(now),
        staleness_s=follower.staleness_s(now),
        digest=view.digest,
        items=dict(view._items),
        held=dict(view.held),
        counters={name: getattr(counters, name) for name in counters.__slots__},
    )


@dataclass(frozen=True)
class Did:
    """What a worker did, and with what."""

    at: float
    what: str
    keys: Sequence[str] = ()
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Wrong:
    """What an application was told by its stream, and cannot be."""

    at: float
    kind: str
    text: str
