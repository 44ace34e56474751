"""What became of an entry on this node, and when.

The source has one node and keeps this in its catalog; here every cache has its own, and the
catalog's status is nobody's but its own. Source: spec/models.md §3, "stamps".
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from discovery.artifacts.tree import UnhealthyError, checked

if TYPE_CHECKING:
    from pathlib import Path

    from discovery.artifacts.layout import Layout
    from discovery.artifacts.manifest import Manifest


def stamp(layout: Layout, name: str, now_ms: int, manifest: Manifest | None) -> None:
    """Note that an entry is installed, or with None that it is not any more."""
    value: dict[str, object] = {"status": "registered", "updated_at_unix_ms": now_ms}
    if manifest is not None:
        value |= {
            "status": "installed",
            "cache_dir": str(layout.entry(name)),
            "installed_at_unix_ms": manifest.installed_at_unix_ms,
            "cache_size_bytes": manifest.total_size_bytes,
        }
    path = layout.stamp(name)
    path.parent.mkdir(exist_ok=True)
    write(path, json.dumps(value).encode())


def read_stamp(layout: Layout, name: str) -> dict[str, object]:
    """Return what was noted of an entry, nothing if that was nothing."""
    try:
        found = json.loads(layout.stamp(name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_stamped(layout: Layout, name: str) -> bool:
    """Say whether what was noted is about what there is."""
    noted = read_stamp(layout, name).get("installed_at_unix_ms")
    try:
        return noted == checked(layout.entry(name)).installed_at_unix_ms
    except UnhealthyError:
        return noted is None or layout.entry(name).exists()


def restamp(layout: Layout, name: str, now_ms: int) -> None:
    """Note what there is, unless that is noted."""
    if is_stamped(layout, name):
        return
    try:
        stamp(layout, name, now_ms, checked(layout.entry(name)))
    except UnhealthyError:
        stamp(layout, name, now_ms, None)


def write(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    aside = path.with_name(f"{path.name}.tmp")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
