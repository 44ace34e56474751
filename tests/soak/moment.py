"""A still moment: what workers, store, daemons and routers say is compared with each other."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import discovery
from discovery import EndpointQuery, EventChannelQuery, ModelQuery
from tests.soak.facts import canonical, differences, facts_of
from tests.soak.sampling import metrics
from tests.soak.talk import PATIENCE_S, answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.fleet import Calm, Fleet

_EVERYTHING = (EndpointQuery(), ModelQuery(), EventChannelQuery())
_CHANGES = ("came", "changed", "closed", "unregistered", "workers killed")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What was found; `store` counts what etcd holds, `metrics` are those of each daemon."""

    at_s: float
    took_s: float
    records: int
    compared: int
    differences: list[str]
    store: dict[str, int]
    done: dict[str, int]
    metrics: list[dict[str, float]]
    compacted: float

    @property
    def changes(self) -> int:
        """How often a worker came, changed what it has registered, or left, up to now."""
        return sum(self.done[name] for name in _CHANGES if name in self.done)


@dataclass(frozen=True)
class Stored:
    """What etcd holds, read by another client than ours."""

    facts: dict[str, str]
    revision: int
    counts: dict[str, int]


async def look(fleet: Fleet, calm: Calm, folder: Path, at_s: float) -> Moment:
    """Compare all with what the store holds, once that has come to rest."""
    began = time.monotonic()
    stored = await _at_rest(fleet, calm)
    told = [f"refused for good: {failure}" for failure in calm.failures]
    told += differences("the store", calm.facts, stored.facts)
    for port in fleet.ports:
        url = f"zmq://127.0.0.1:{port}"
        patience = {"connect_timeout_s": PATIENCE_S, "request_timeout_s": PATIENCE_S}
        async with discovery.connect(url, **patience) as d:
            lists = [await d.list(it, min_revision=stored.revision) for it in _EVERYTHING]
        listed = facts_of(one for found in lists for one in found)
        told += differences(f"the list of the daemon at {port}", stored.facts, listed)
    counters = [await asyncio.to_thread(metrics, it, "discoveryd_") for it in fleet.http]
    told += [
        f"a daemon found {it['divergences_total']:g} times that its view was not what etcd held"
        for it in counters
        if it["divergences_total"]
    ]
    compared, wrong = await _compare_views(fleet, stored, folder / "facts.json")
    return Moment(
        at_s=round(at_s, 1),
        took_s=round(time.monotonic() - began, 1),
        records=len(stored.facts),
        compared=compared,
        differences=told + wrong,
        store=stored.counts,
        done=dict(calm.done + fleet.killed),
        metrics=counters,
        compacted=await _compacted(fleet),
    )


async def _at_rest(fleet: Fleet, calm: Calm) -> Stored:
    """Wait until leases of the killed have ended; what then is not as workers say is drift."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        stored = await asyncio.to_thread(read, fleet)
        if stored.facts == calm.facts or time.monotonic() > deadline:
            return stored
        await asyncio.sleep(0.5)


def read(fleet: Fleet) -> Stored:
    """Read all that etcd holds."""
    found = fleet.etcd.witness.range("", all=True)
    facts, counts = {}, Counter()
    for kv in found.kvs or ():
        key = kv.key.decode()
        if key.startswith("v1/"):
            facts[key] = canonical(kv.value)
        else:
            counts[f"keys in {key.split('/')[0]}/"] += 1
    counts["leases"] = len(fleet.etcd.ctl("lease", "list").splitlines()) - 1
    return Stored(facts, int(found.header.revision), dict(counts))


async def _compare_views(fleet: Fleet, stored: Stored, file: Path) -> tuple[int, list[str]]:
    await asyncio.to_thread(file.write_text, json.dumps(stored.facts))
    routers = [it for name, it in fleet.programs.items() if name.startswith("routers")]
    for router in routers:
        router.tell("compare", file, stored.revision)
    said = [await answer(router) for router in routers]
    told = [line for one in said for line in one["differences"]]
    return sum(one["compared"] for one in said), told


async def _compacted(fleet: Fleet) -> float:
    """The revision up to which etcd has forgotten its history."""
    found = await asyncio.to_thread(metrics, fleet.etcd.endpoint, "etcd_debugging_mvcc_")
    return found["compact_revision"]
