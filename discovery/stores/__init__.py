"""The backends behind `discovery.store.Store`, chosen by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    import random

    from discovery.store import Store

STORE_SCHEMES = ("memory", "file", "etcd", "kubernetes")
"""What a store URL may start with; only the first exists in this version."""


def open_store(url: str, *, history_revisions: int, rng: random.Random) -> Store:
    """Return the store named by `url`, ready for use inside a running event loop.

    `history_revisions` bounds what a watch can resume over, `rng` draws the epoch.
    Raises as `check_store_url` does.
    """
    check_store_url(url)
    from discovery.stores.memory import MemoryStore  # noqa: PLC0415 - chosen by URL

    return MemoryStore(history_revisions=history_revisions, rng=rng)


def check_store_url(url: str) -> None:
    """Raise `InvalidArgumentError` for a URL of a backend that is unknown or does not exist yet."""
    if "@" in url:  # what stands before it is not for messages
        raise InvalidArgumentError(
            "store: credentials do not belong in its URL; expected memory://[name]"
        )
    scheme = url.partition("://")[0]
    if scheme != "memory" or "://" not in url:
        why = "does not exist in this version" if scheme in STORE_SCHEMES else "is unknown"
        raise InvalidArgumentError(
            f"store {shown(url)}: the backend {shown(scheme)} {why}; expected memory://[name]"
        )
