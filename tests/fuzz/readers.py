"""Every public reader of the packages, found by its name, and those that need no target."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any

import discovery
import transports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READS = re.compile(
    r"(^|_)(decode|parse|read|unpack|load|check|checked)(_|$)|(^|_)from_|_of$|_by_detail$|^is_subject$"
)

EXEMPT = {
    "takes values that are read and checked already": (
        *("discovery.cli.checks.check_daemon", "discovery.cli.checks.check_leases"),
        *("discovery.cli.exits.exit_of", "discovery.cli.exits.hint_of"),
        *("discovery.cli.mismatches.check_mismatches", "discovery.cli.probing.check_events"),
        *("discovery.cli.probing.check_same_registry", "discovery.cli.reach.check_addresses"),
        *("discovery.cli.rows.row_of", "discovery.cli.standing.degradation_of"),
        *("discovery.eventplane.naming.brokers_of", "discovery.held.Held.rivals_of"),
        *(
            "discovery.held.stance_of",
            "discovery.mirror.Mirror.keys_of",
            "discovery.ring.weight_of",
        ),
        *("discovery.books.Books.check_scope", "discovery.claimrules.Place.check_owner"),
        *("discovery.catalogservice.CatalogService.check_scope", "discovery.sessions.caller_of"),
        *("discovery.claimrules.Place.decode", "discovery.models.asking.Asking.read"),
        *("discovery.stores.history.History.check", "discovery.stores.keytree.check_prefix"),
        *("discovery.stores.etcd.keyspace.Keyspace.range_of",),
        *("discovery.artifacts.lock.Held.check", "discovery.artifacts.stopping.Stop.check"),
        *("discovery.models.artifacts.files_of",),
    ),
    "gives bytes as they are; where they go is checked by `check_path`": (
        *("discovery.artifacts.local.LocalSource.read", "discovery.artifacts.source.Source.read"),
        *("discovery.artifacts.remote.RemoteSource.read",),
    ),
    "asks etcd; what it is told goes through the readers of keys and records": (
        *("discovery.stores.etcd.line.Line.load", "discovery.stores.etcd.line.Line.read"),
        *("discovery.stores.etcd.translation.error_of",),
    ),
}


def name_of(reader: Callable[..., Any]) -> str:
    return f"{reader.__module__}.{reader.__qualname__}"


def readers() -> set[str]:
    """Return the full names of public functions and methods that sound like readers."""
    return {name_of(one) for one in _functions() if _READS.search(one.__name__)}


def _functions() -> Iterator[Any]:
    for package in (discovery, transports):
        for info in walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("_pb2"):
                yield from _public(import_module(info.name), info.name)


def _public(owner: object, module: str) -> Iterator[Any]:
    for name, found in vars(owner).items():
        one = getattr(found, "__func__", getattr(found, "__wrapped__", found))  # a class method's
        if name.startswith("_") or getattr(one, "__module__", None) != module:
            continue
        if inspect.isfunction(one):
            yield one
        elif inspect.isclass(one) and inspect.ismodule(owner):
            yield from _public(one, module)
