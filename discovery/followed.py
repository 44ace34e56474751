"""One scope that is followed, and the streams that are fed from it. On the I/O thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from discovery.errors import DiscoveryError
    from discovery.follower import Follower, StreamState
    from discovery.link import Link
    from discovery.view import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a view is proven. `proven_at` is on `clock.monotonic_s`; `error` ends the stream."""

    state: StreamState
    revision: int
    epoch: str | None
    proven_at: float
    is_synced: bool
    is_recovering: bool
    error: DiscoveryError | None = None


class Sink:
    """Where a stream takes what is shown in its scope. Called on the I/O thread only."""

    def __init__(self, push: Callable[[Sequence[Shown], Status], None]) -> None:
        self.push = push


class Followed:
    """A follower, who takes what it shows, and what is under way for it."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.sinks: list[Sink] = []
        self.error: DiscoveryError | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.last: tuple[object, ...] = ()
        self.heard_on: Link | None = None  # where its topics are subscribed

    def cancel_timer(self) -> None:
        """Forget the next wake-up."""
        if self.timer:
            self.timer.cancel()
            self.timer = None

    def status(self, now: float) -> Status:
        """Return how far the view is proven at `now`."""
        follower = self.follower
        return Status(
            state=follower.state(now),
            revision=follower.revision,
            epoch=follower.epoch,
            proven_at=now - follower.staleness_s(now),
            is_synced=follower.is_synced,
            is_recovering=follower.is_recovering,
            error=self.error,
        )
