"""The schedule, one short run of it with real processes, and judges that see what is wrong."""

from __future__ import annotations

import asyncio
import copy
import pickle
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from discovery.follower import StreamState
from tests.chaos import fleet, run
from tests.chaos.recording import Did, Seen, records_of
from tests.chaos.replay import Replay
from tests.chaos.schedule import drawn

if TYPE_CHECKING:
    from collections.abc import Callable
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
    assert befallen == fleet.Fleet._deeds.keys() - ({"compacted"} if is_memory else set())


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


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    schedule = drawn(ON_ETCD, SECONDS)
    faults = [fault for fault in schedule.faults if fault.what != FULL_DISK]
    schedule = replace(schedule, faults=[f for f in faults if f.ends_s < SECONDS + 2])
    assert not schedule.is_memory
    folder, disk = tmp_path_factory.mktemp("chaos"), tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        kept: list[tuple[Fleet, float]] = []

        class Kept(Replay):
            def __init__(self, fleet: Fleet, began_at: float) -> None:
                kept.append((fleet, began_at))
                super().__init__(fleet, began_at)

        patch.setattr(run, "Replay", Kept)
        result = asyncio.run(run.play(schedule, folder, disk, lambda _: None))
    return Played(result, *kept[0])


def test_a_run_with_real_faults_heals_and_nothing_is_broken(played):
    assert played.result.broken == []
    assert played.result.counts["killed"] > 0
    assert played.result.counts["records of routers"] > 100
    assert played.result.counts["revisions"] > 20


def test_what_was_written_is_judged_alike_again(played, tmp_path):
    assert played.judged(tmp_path / "copy", "router", lambda _: None) == set()


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


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("wrong view", at_one(items=lambda r: without_one(r.items), digest=lambda _: 1)),
        ("time travel", at_one(revision=lambda _: 3)),
        ("ahead", at_one(revision=lambda r: r.revision + 1_000_000)),
        ("dishonest", at_one(revision=lambda _: 8, digest=lambda _: 1, staleness_s=lambda _: 0.0)),
        ("synced early", at_one(is_synced=lambda _: False)),
        ("incomplete", showing(lambda r: replace(r, shown=[s for s in r.shown if not s.item]))),
        ("not unique", showing(lambda r: replace(r, shown=[*r.shown, *r.shown]))),
    ],
)
def test_what_a_router_may_not_say_is_seen(played, tmp_path, kind, change):
    assert kind in played.judged(tmp_path / "copy", "router", change)


def test_a_refusal_for_a_model_that_was_never_there_is_seen(played, tmp_path):
    said = {
        "text": "Cannot register",
        "endpoint": "n/a/c",
        "incumbent": "Z",
        "count": 1,
        "asked_at": played.began_at,
    }

    def refuse(records: list[Any]) -> None:
        records.append(Did(records[-1].at, "is refused", ["v1/mdc/n/a/c/1"], said))

    assert "false refusal" in played.judged(tmp_path / "copy", "worker", refuse)
