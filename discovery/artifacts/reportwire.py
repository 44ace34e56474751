"""A cache report as a map, for daemons that answer with one and tools that print it. Sans-I/O."""

from __future__ import annotations

from pathlib import Path

from discovery.artifacts.manifest import manifest_of
from discovery.artifacts.report import CacheReport, CacheStatus
from discovery.errors import InvalidArgumentError
from discovery.fields import Fields


def report_to_wire(report: CacheReport) -> dict[str, object]:
    """Return the map that `report_from_wire` reads."""
    return {
        "name": report.name,
        "status": report.status.value,
        "path": str(report.path),
        "footprint_bytes": report.footprint_bytes,
        "manifest": report.manifest.to_wire() if report.manifest else None,
        "detail": report.detail,
        "stamp": dict(report.stamp),
    }


def report_from_wire(value: object) -> CacheReport:
    """Return the report of a map. Raises `InvalidArgumentError`."""
    fields = Fields("report", value)
    status, manifest, stamp = fields.text("status"), fields.raw("manifest"), fields.raw("stamp")
    if status not in tuple(CacheStatus) or not isinstance(stamp, dict):
        raise InvalidArgumentError(f"report: expected a status and a stamp, got {status!r}")
    return CacheReport(
        name=fields.text("name"),
        status=CacheStatus(status),
        path=Path(fields.text("path")),
        footprint_bytes=fields.integer("footprint_bytes"),
        manifest=None if manifest is None else manifest_of(manifest),
        detail=fields.optional_text("detail"),
        stamp=stamp,
    )
