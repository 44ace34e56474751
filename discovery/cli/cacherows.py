"""What is in a cache, as rows of output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from discovery.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.models.artifacts import CacheReport

DROPPED_COLUMNS: Final = ("name", "event", "footprint_bytes")


def report_row(report: CacheReport) -> dict[str, object]:
    """Return how a model is as a row."""
    manifest = report.manifest
    return {
        "name": report.name,
        "status": report.status.value,
        "footprint_bytes": report.footprint_bytes,
        "source": manifest.source if manifest else None,
        "revision": manifest.revision if manifest else None,
        "installed_at": _installed_at(report),
        "files": len(manifest.files) if manifest else None,
        "path": str(report.path),
        "detail": report.detail,
    }


def dropped_row(report: CacheReport) -> dict[str, object]:
    """Return what was removed to make room as a row."""
    return {
        "name": report.name,
        "event": "dropped",
        "footprint_bytes": report.footprint_bytes,
    }


def total_bytes(reports: Sequence[CacheReport]) -> int:
    """Return how many bytes several models have."""
    return sum(report.footprint_bytes for report in reports)


def _installed_at(report: CacheReport) -> str | None:
    """Return when it was installed, None if that is not known, or is no time."""
    manifest, stamped = report.manifest, report.stamp.get("installed_at_unix_ms")
    at = manifest.installed_at_unix_ms if manifest else stamped
    try:
        return stamp(at) if isinstance(at, int) else None
    except OverflowError:
        return None
