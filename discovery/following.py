"""What a follower is told, and what it tells. Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StreamState(StrEnum):
    """How far a view can be trusted."""

    SYNCING = "syncing"
    LIVE = "live"
    STALE = "stale"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerLimits:
    """Times in seconds; `buffer_events` bounds what waits for a sync, and for missing parts."""

    beat_interval_s: float = 1.0
    sync_timeout_s: float = 1.0
    audit_interval_s: float = 10.0
    buffer_events: int = 10_000


@dataclass(slots=True)
class FollowerCounters:
    """What happened to one follower since it began."""

    gaps: int = 0
    epochs: int = 0
    backfills: int = 0
    snapshots: int = 0
    corruptions: int = 0
    overflows: int = 0
    refusals: int = 0
