"""Who watches what, as far as their own requests tell. Sans-I/O.

Each stream asks at least every 10 s, so one that is silent for longer is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.names import Scope

_FORGET_AFTER_S = 30.0
_MAX_WATCHERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """One stream: its client's name, its scope, and where it stood at `seen_at`.

    `seen_at` is in seconds on the daemon's clock.
    """

    client: str
    scope: Scope
    revision: int
    seen_at: float


class Watchers:
    """The streams heard of lately; a stream that is not heard of any more is forgotten."""

    def __init__(self, *, limit: int = _MAX_WATCHERS) -> None:
        self._limit = limit
        self._by_stream: dict[tuple[str, Scope], Watcher] = {}

    def seen(self, client: str, scope: Scope, revision: int, now: float) -> None:
        """Note that a stream was brought to `revision`; the longest silent makes room for it."""
        stream = (client, scope)
        self._by_stream.pop(stream, None)  # in again below: the longest silent is always first
        if len(self._by_stream) >= self._limit:
            del self._by_stream[next(iter(self._by_stream))]
        watcher = Watcher(client=client, scope=scope, revision=revision, seen_at=now)
        self._by_stream[stream] = watcher

    def now(self, now: float) -> Sequence[Watcher]:
        """Return the streams heard of within the last 30 s, longest silent first."""
        for stream, watcher in list(self._by_stream.items()):
            if now - watcher.seen_at <= _FORGET_AFTER_S:
                break
            del self._by_stream[stream]
        return list(self._by_stream.values())
