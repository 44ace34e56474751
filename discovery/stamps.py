"""Points in time as records have them: RFC 3339, in UTC. Sans-I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from discovery.errors import InvalidArgumentError
from discovery.names import shown

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(unix_ms: int) -> str:
    """Return Unix milliseconds as "2026-11-21T18:00:00.000Z"."""
    return _written(_EPOCH + timedelta(milliseconds=unix_ms))


def checked_stamp(where: str, value: object) -> str:
    """Return a point in time as `stamp` writes it, whatever its zone and its fractions were.

    Raises `InvalidArgumentError` for what is no RFC 3339.
    """
    wrong = InvalidArgumentError(f"{where}: expected a time as RFC 3339 has it, got {shown(value)}")
    if not isinstance(value, str) or "T" not in value.upper():
        raise wrong
    try:
        time = datetime.fromisoformat(value.upper())
        utc = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong from None
    if time.tzinfo is None:
        raise wrong
    return _written(utc)


def _written(utc: datetime) -> str:
    """Return a point in time of UTC; not by strftime, which gives years before 1000 few digits."""
    return utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
