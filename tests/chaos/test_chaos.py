"""The schedule, one short run of it with real processes, and judges that see what is wrong."""

from __future__ import annotations

import asyncio
import copy
import pickle
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from discovery.events import Cause
from discovery.follower import StreamState
from discovery.view import Shown
from tests.chaos import run
from tests.chaos.deeds import Deeds
from tests.chaos.recording import Did, Seen, records_of
from tests.chaos.replay import Replay
from tests.chaos.schedule import drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.chaos.fleet import Fleet
    from tests.chaos.run import Result

SECONDS = 8.0
ON_ETCD = 2
FULL_DISK = "disk of the logs full"
"""Needs a disk of its own, which `make chaos` mounts."""


# ---- what will happen


def test_a_seed_says_all_that_will_happen():
    assert drawn(7, 45.0) == drawn(7, 45.0)
    assert drawn(7, 45.0).lines() == drawn(7, 45.0).lines()
    assert drawn(7, 45.0) != drawn(8, 45.0)


@pytest.mark.parametrize("is_memory", [True, False])
def test_every_kind_of_fault_befalls_somebody_in_some_run(is_memory):
    runs = [
        schedule for seed in range(40) if (schedule := drawn(seed, 45.0)).is_memory == is_memory
    ]
    assert runs
    befallen = {fault.what for schedule in runs for fault in schedule.faults}
    assert befallen == Deeds.kinds.keys() - ({"compacted"} if is_memory else set())


def test_nobody_is_befallen_by_two_faults_at_a_time():
    for seed in range(20):
        faults = [f for f in drawn(seed, 45.0).faults if f.what in {"killed", "stands still"}]
        for one in faults:
            for other in faults:
                is_apart = one.ends_s < other.at_s or other.ends_s < one.at_s
                assert one is other or one.whom != other.whom or is_apart


@pytest.mark.parametrize(
    ("line", "is_fault"),
    [
        ("Traceback (most recent call last):", True),
        ("  + Exception Group Traceback (most recent call last):", True),
        ("    | Traceback (most recent call last):", True),
        ("Fatal Python error: Segmentation fault", True),
        ("router: nobody answers there", False),
        ('{"level": "error", "logger": "discovery.co', False),
        ('{"level": "error", "logger": "discovery.core"}', True),
        ('{"level": "error", "logger": "discovery.keeper"}', False),
        ('{"level": "error", "logger": "discovery.keeper", "exception": "ValueError"}', True),
        ('{"level": "warning", "logger": "discovery.core"}', False),
    ],
)
def test_a_line_of_a_log_that_tells_of_an_error_of_ours_is_seen(line, is_fault):
    assert run._is_fault(line) is is_fault


# ---- a run, and what judges say of what it wrote


@dataclass
class Played:
    """A run that is over."""

    result: Result
    fleet: Fleet
    began_at: float

    def judged(self, folder: Path, role: str, change: Callable[[list[Any]], None]) -> set[str]:
        """Change what one process of a role wrote, and return what judges say is broken."""
        shutil.copytree(self.fleet.folder, folder, ignore=shutil.ignore_patterns("data", "disk"))
        told = copy.copy(self.fleet)
        told.folder = folder
        path = max(told.records(role), key=lambda path: path.stat().st_size)
        records = list(records_of(path))
        change(records)
        path.write_bytes(b"".join(map(pickle.dumps, records)))
        replay = Replay(told, self.began_at)
        replay.play()
        return {broken.kind for broken in replay.broken}


def seen(records: list[Any]) -> list[int]:
    """Return where a router that is synced shows something, and has shown something before."""
    return [
        i
        for i, r in enumerate(records)
        if isinstance(r, Seen) and r.is_synced and len(r.items) > 1 and r.state is StreamState.LIVE
    ]


def at_one(**fields: Callable[[Seen], Any]) -> Callable[[list[Any]], None]:
    """Let one record of a router in the midst of the run say something else."""

    def change(records: list[Any]) -> None:
        places = seen(records)
        at = places[len(places) // 2]
        one = records[at]
        records[at] = replace(one, **{name: say(one) for name, say in fields.items()})

    return change


def showing(change: Callable[[Seen], Seen]) -> Callable[[list[Any]], None]:
    """Change a record of a router that makes something known, when more is to come."""

    def do(records: list[Any]) -> None:
        at = next(i for i in seen(records) if any(s.item for s in records[i].shown))
        records[at] = change(records[at])

    return do


def without_one(items: Any) -> Any:
    return dict(list(items.items())[1:])


def removing(records: list[Any]) -> None:
    """Let a router be told that everybody has gone who is there."""
    last = next(r for r in reversed(records) if isinstance(r, Seen) and r.scope == ("endpoints",))
    stays = [key for key in last.items if "/stays/" in key]
    gone = [Shown(key, None, last.revision, Cause.LEASE_EXPIRED) for key in stays]
    items = {key: item for key, item in last.items.items() if key not in stays}
    records.append(replace(last, at=last.at + 0.001, shown=gone, items=items, digest=1))


def refusing(records: list[Any]) -> None:
    """Let a worker be refused for a model that was never there."""
    place = {"endpoint": "n/a/c", "incumbent": "Z", "count": 1, "asked_at": 0.0}
    said = {"text": "Cannot register", **place}
    records.append(Did(records[-1].at, "is refused", ["v1/mdc/n/a/c/1"], said))


def losing(records: list[Any]) -> None:
    """Let a worker lose what nobody else has taken."""
    said = {"why": "no reason", "is_conflict": False}
    records.append(Did(records[-1].at, "loses", ["v1/mdc/n/a/c/1"], said))


WRONG: Mapping[str, tuple[str, Callable[[list[Any]], None]]] = {
    "wrong view": (
        "router",
        at_one(items=lambda r: without_one(r.items), digest=lambda _: 1),
    ),
    "time travel": ("router", at_one(revision=lambda _: 3)),
    "ahead": ("router", at_one(revision=lambda r: r.revision + 1_000_000)),
    "dishonest": (
        "router",
        at_one(revision=lambda _: 8, digest=lambda _: 1, staleness_s=lambda _: 0.0),
    ),
    "synced early": ("router", at_one(is_synced=lambda _: False)),
    "incomplete": (
        "router",
        showing(lambda r: replace(r, shown=[s for s in r.shown if not s.item])),
    ),
    "not unique": ("router", showing(lambda r: replace(r, shown=[*r.shown, *r.shown]))),
    "false removal": ("router", removing),
    "false refusal": ("worker", refusing),
    "false loss": ("worker", losing),
}


def short_run(folder: Path, disk: Path) -> Played:
    """Let some of the faults of a seed befall a fleet on etcd."""
    schedule = drawn(ON_ETCD, SECONDS)
    faults = [fault for fault in schedule.faults if fault.what != FULL_DISK]
    schedule = replace(schedule, faults=[f for f in faults if f.ends_s < SECONDS + 2])
    assert not schedule.is_memory
    with pytest.MonkeyPatch.context() as patch:
        kept: list[tuple[Fleet, float]] = []

        class Kept(Replay):
            def __init__(self, fleet: Fleet, began_at: float) -> None:
                kept.append((fleet, began_at))
                super().__init__(fleet, began_at)

        patch.setattr(run, "Replay", Kept)
        result = asyncio.run(run.play(schedule, folder, disk, lambda _: None))
    return Played(result, *kept[0])


def test_a_run_with_real_faults_breaks_nothing_and_judges_would_have_seen_it(tmp_path):
    """One test, since the run of fifteen processes is what costs."""
    for name in ("run", "logs"):
        (tmp_path / name).mkdir()
    played = short_run(tmp_path / "run", tmp_path / "logs")
    assert played.result.broken == []
    for what in ("killed", "revisions", "records of routers", "chances to see a false removal"):
        assert played.result.counts[what] > 0, what
    assert played.judged(tmp_path / "unchanged", "router", lambda _: None) == set()
    for kind, (role, change) in WRONG.items():
        assert kind in played.judged(tmp_path / kind, role, change), kind
