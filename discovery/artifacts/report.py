"""How the files of a model are in a cache."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from discovery.artifacts.stamping import read_stamp
from discovery.artifacts.tree import UnhealthyError, checked, footprint_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from discovery.artifacts.layout import Layout
    from discovery.artifacts.manifest import Manifest


class CacheStatus(StrEnum):
    """How the files of a model are."""

    MISSING = "missing"
    UNHEALTHY = "unhealthy"
    INSTALLED = "installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """How a model is in a cache.

    Attributes:
        name: the entry.
        status: `missing`, `unhealthy` or `installed`.
        path: the folder of its files.
        footprint_bytes: of what is installed the sum of its files, else of all there is.
        manifest: what is installed, as far as that can be read.
        detail: what is unhealthy, None otherwise.
        stamp: what became of it on this node, and when: `status`, `updated_at_unix_ms`, and while
            it is installed `cache_dir`, `installed_at_unix_ms` and `cache_size_bytes`.
    """

    name: str
    status: CacheStatus
    path: Path
    footprint_bytes: int
    manifest: Manifest | None
    detail: str | None
    stamp: Mapping[str, object]


def inspect_entry(layout: Layout, name: str) -> CacheReport:
    """Say how a model is by its manifest, and by the names and sizes of its files."""
    path = layout.entry(name)
    if not path.exists() and not path.is_symlink():
        return _told(layout, name, CacheStatus.MISSING, 0)
    try:
        manifest = checked(path)
    except UnhealthyError as error:
        return unhealthy_entry(layout, name, error)
    return _told(layout, name, CacheStatus.INSTALLED, manifest.total_size_bytes, manifest)


def unhealthy_entry(layout: Layout, name: str, error: UnhealthyError) -> CacheReport:
    """Say what is wrong with a model."""
    size = footprint_bytes(layout.entry(name))
    return _told(layout, name, CacheStatus.UNHEALTHY, size, error.manifest, str(error))


def inspect_entries(layout: Layout) -> Sequence[CacheReport]:
    """Say how all models are, in the order of their names."""
    return [inspect_entry(layout, name) for name in layout.entries()]


def _told(
    layout: Layout,
    name: str,
    status: CacheStatus,
    footprint: int,
    manifest: Manifest | None = None,
    detail: str | None = None,
) -> CacheReport:
    return CacheReport(
        name=name,
        status=status,
        path=layout.entry(name),
        footprint_bytes=footprint,
        manifest=manifest,
        detail=detail,
        stamp=read_stamp(layout, name),
    )
