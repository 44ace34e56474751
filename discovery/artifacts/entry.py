"""What a model's files are called in a cache. Sans-I/O.

Source: spec/models.md §3, "names".
"""

from __future__ import annotations

import re
from typing import Final

from discovery.errors import InvalidArgumentError
from discovery.names import check_text, shown
from discovery.objectname import sanitised

MANIFEST: Final = "manifest.json"

_LONGEST: Final = 200  # of an entry, so that what is being staged has room for a mark behind it
_MOST_PATH_BYTES: Final = 4096
_ENTRY: Final = re.compile("[A-Za-z0-9_-]+")


def check_entry(value: object) -> str:
    """Return the name of a cache entry, trimmed. Raises `InvalidArgumentError` for what is none."""
    name = value.strip() if isinstance(value, str) else ""
    if not is_entry(name):
        raise InvalidArgumentError(
            f"cache entry {shown(value)}: expected 1 to {_LONGEST} letters, digits, '_' or '-'"
        )
    return name


def is_entry(name: str) -> bool:
    """Say whether a name is that of a cache entry."""
    return len(name) <= _LONGEST and _ENTRY.fullmatch(name) is not None


def entry_of(name: str, version: int, tenant: str | None = None) -> str:
    """Return the entry of a model of the catalog; no two models share one."""
    return sanitised(claimed_name(name, version, tenant), _LONGEST).replace(".", "-")


def claimed_name(name: str, version: int, tenant: str | None = None) -> str:
    """Return what a model is called where files are concerned: `name@version`."""
    return f"{name}@{version}" if tenant is None else f"{tenant}::{name}@{version}"


def check_path(value: object) -> str:
    """Return the path of a file below an entry.

    Raises `InvalidArgumentError` for one that is not relative, or that leads out of it.
    """
    path = check_text("path", value, _MOST_PATH_BYTES)
    if path.startswith("/") or "\\" in path:
        raise InvalidArgumentError(f"path {shown(value)}: expected a relative path with '/'")
    if any(part in {"", ".", ".."} for part in path.split("/")):
        raise InvalidArgumentError(f"path {shown(value)}: expected no '.', '..' or '//' in it")
    return path


def is_skipped(name: str) -> bool:
    """Say whether a source's file or folder of this name is left out: hidden, or a manifest."""
    return name.startswith(".") or name == MANIFEST
