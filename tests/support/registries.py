"""Daemons without sockets: a replica and a registry over a store that several may share."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from discovery.feed import Feed
from discovery.identity import is_compatible
from discovery.registry import Registry
from discovery.replica import Replica
from discovery.sessions import Caller
from discovery.settings import LeaseSettings, LimitSettings
from discovery.unit import identity_of
from discovery.wire import decode_record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from discovery.identity import ModelIdentity
    from discovery.ids import InstanceId
    from discovery.instance import Instance
    from discovery.protocol import Event, Record
    from discovery.spec import Spec
    from discovery.store import Entry, Store

MODELS_PREFIX = "v1/mdc/"


def new_feed(name: str = "daemon", *, ring_changes: int = 1000) -> Feed:
    return Feed(
        daemon=name,
        window_beats=5,
        ring_changes=ring_changes,
        ring_bytes=1 << 20,
        part_bytes=1 << 18,
    )


class Daemon:
    """One daemon: what it published, and what a list of everything on it gives."""

    def __init__(
        self,
        store: Store,
        *,
        leases: LeaseSettings | None = None,
        limits: LimitSettings | None = None,
        generation: str = "a",
    ) -> None:
        self.store = store
        self.events: list[Event[Record]] = []
        self.now_ms = 1_000_000
        self.replica = Replica(
            store,
            new_feed(),
            publish=self.events.extend,
            is_doubtful=lambda: False,
            now_ms=lambda: self.now_ms,
        )
        self.registry = Registry(
            store,
            self.replica,
            leases=leases or LeaseSettings(),
            limits=limits or LimitSettings(),
            generation=generation,
        )

    def list(self, kind: str = "models") -> Sequence[Instance]:
        """Return what is visible, in order of key."""
        self.replica.drain()
        shown = sorted(self.replica.mirror.under((kind,)), key=lambda entry: entry.key)
        return [decode_record(entry.key, entry.value) for entry in shown]


@dataclass
class Worker:
    """A client of a daemon that numbers its requests; `at` moves it to another daemon."""

    registry: Registry
    instance_id: int
    token: str = ""
    sequence: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.token = self.token or f"token of {self.instance_id}"

    def at(self, daemon: Daemon) -> Worker:
        self.registry = daemon.registry
        return self

    def caller(self) -> Caller:
        self.sequence += 1
        return Caller(self.instance_id, self.token, self.sequence)

    async def grant(self, ttl_s: float = 10.0) -> Worker:
        await self.registry.grant(self.instance_id, ttl_s, self.token)
        return self

    async def register(self, *specs: Spec) -> int:
        return await self.registry.register(self.caller(), specs)

    async def unregister(self, *what: Spec | InstanceId) -> int:
        ids = [w.id(self.instance_id) if hasattr(w, "instance") else w for w in what]
        return await self.registry.unregister(self.caller(), ids)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(*daemons: Daemon) -> AsyncGenerator[None]:
    """Run daemons on one store, and close that afterwards."""
    async with daemons[0].store, daemons[0].replica:
        if len(daemons) == 1:
            yield
        else:
            async with serving_rest(daemons[1:]):
                yield


@asynccontextmanager
async def serving_rest(daemons: Sequence[Daemon]) -> AsyncGenerator[None]:
    if not daemons:
        yield
        return
    async with daemons[0].replica, serving_rest(daemons[1:]):
        yield


def identities(entries: Iterable[Entry]) -> set[ModelIdentity]:
    """Return the models that are confirmed among the entries of a store."""
    confirmed = (e for e in entries if e.key.startswith(MODELS_PREFIX))
    return {found for e in confirmed if (found := identity_of(e.key, e.value))}


def contradict(models: Iterable[ModelIdentity]) -> bool:
    """Say whether two of the models may not be on one endpoint."""
    return any(not is_compatible(one, other) for one, other in combinations(models, 2))
