"""The backends behind `discovery.store.Store`, chosen by URL."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    import random

    from discovery.store import Store

STORE_SCHEMES = ("memory", "file", "etcd", "kubernetes")
"""What a store URL may start with; the first and the third exist in this version."""

_EXPECTED = "expected memory://[name] or etcd://host:port[,host:port]"


def open_store(url: str, *, history_revisions: int, rng: random.Random) -> Store:
    """Return the store named by `url`, to be entered inside a running event loop.

    `history_revisions` bounds what a watch can resume over, or keeps for who does not read it;
    `rng` draws the epoch. Raises as `check_store_url` does, and for a file that cannot be read.
    """
    if check_store_url(url) == "etcd":
        from discovery.stores.etcd.store import EtcdStore  # noqa: PLC0415 - chosen by URL

        return EtcdStore(url, most_waiting=history_revisions, rng=rng)
    from discovery.stores.memory import MemoryStore  # noqa: PLC0415 - chosen by URL

    return MemoryStore(history_revisions=history_revisions, rng=rng)


def check_store_url(url: str) -> str:
    """Return the scheme of a store URL.

    Raises `InvalidArgumentError` for one that cannot be read, and for a backend that is unknown,
    does not exist yet, or is not installed.
    """
    scheme, separator, _ = url.partition("://")
    if scheme == "etcd" and separator:
        _check_etcd(url)
        return scheme
    if "@" in url:  # what stands before it is not for messages
        raise InvalidArgumentError(f"store: credentials do not belong in its URL; {_EXPECTED}")
    if scheme != "memory" or not separator:
        why = "does not exist in this version" if scheme in STORE_SCHEMES else "is unknown"
        raise InvalidArgumentError(
            f"store {shown(url)}: the backend {shown(scheme)} {why}; {_EXPECTED}"
        )
    return scheme


def _check_etcd(url: str) -> None:
    from discovery.stores.etcd.url import parse_etcd_url  # noqa: PLC0415 - chosen by URL

    parse_etcd_url(url)
    if find_spec("grpc") is None or find_spec("google.protobuf") is None:
        raise InvalidArgumentError(
            f"store {shown(url)}: the backend 'etcd' is not installed; "
            "expected the extra: pip install 'discoveryd[etcd]'"
        )
