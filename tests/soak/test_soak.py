"""The soak runs and sees what it is there for; its hour itself is no test of every commit."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import discovery
from discovery import EndpointQuery, EndpointSpec
from tests.soak.facts import asked_for, differences, facts_of
from tests.soak.fleet import Plan
from tests.soak.judging import grown, growths
from tests.soak.moment import Moment
from tests.soak.routers import Listener
from tests.soak.run import Soak
from tests.soak.sampling import Sample
from tests.support.documents import ROOT
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
PLACE = {"namespace": "n0", "component": "c0", "endpoint": "e0"}


def endpoint(address: str = "10.0.0.1:1/x") -> EndpointSpec:
    return EndpointSpec(**PLACE, transport={"tcp": address})


def hour(memory: Callable[[int], float], descriptors: Callable[[int], int]) -> list[Sample]:
    """A daemon's samples at 60 still moments."""
    return [
        Sample(
            at_s=60.0 * minute,
            process="daemon 1",
            is_still=True,
            memory_bytes=int(memory(minute)),
            descriptors=descriptors(minute),
            threads=7,
            cpu_s=0.0,
        )
        for minute in range(60)
    ]


def noisy(level: float, noise: float, seed: int = 1) -> Callable[[int], float]:
    rng = random.Random(seed)
    values = [level + rng.uniform(-noise, noise) for _ in range(60)]
    return lambda minute: values[minute]


def not_flat(samples: list[Sample]) -> set[str]:
    return {growth.what for growth in growths(samples) if not growth.is_flat}


def moment(*wrong: str) -> Moment:
    return Moment(
        at_s=1.0,
        took_s=0.0,
        records=1,
        compared=1,
        differences=list(wrong),
        store={"leases": 1},
        done={},
        metrics=[],
        compacted=0.0,
    )


def test_what_is_noisy_and_flat_passes():
    for seed in range(100):
        assert not_flat(hour(noisy(60 * MIB, 3 * MIB, seed), lambda _: 500)) == set()


def test_what_grows_while_it_warms_up_passes():
    assert not_flat(hour(lambda m: MIB * (40 + min(m, 15)), lambda m: 40 + min(m, 15))) == set()


def test_memory_that_grows_all_the_while_fails():
    noise = noisy(60 * MIB, 1 * MIB)
    leaking = hour(lambda m: noise(m) + m * MIB / 6, lambda _: 500)  # 10 MiB in the hour
    assert not_flat(leaking) == {"memory"}


def test_descriptors_of_which_one_in_five_minutes_is_lost_fail():
    assert not_flat(hour(noisy(60 * MIB, 1 * MIB), lambda m: 500 + m // 5)) == {"descriptors"}


def test_what_grew_is_told_with_both_figures():
    growth = grown("daemon 1", "threads", [7, 7, 7, 70], 4)
    assert str(growth) == "daemon 1: threads 7 -> 70, GROWN by more than 4"


def test_a_view_that_lacks_has_too_much_or_has_otherwise_is_told():
    one, other, third = (endpoint().instance(number) for number in (1, 2, 3))
    stored = facts_of([one, other])
    key = "v1/instances/n0/c0/e0"
    assert differences("view", stored, stored) == []
    assert differences("view", stored, facts_of([one])) == [f"view lacks {key}/2"]
    assert differences("view", stored, facts_of([one, other, third])) == [
        f"view has {key}/3, which is gone"
    ]
    changed = endpoint("10.0.0.2:1/x").instance(2)
    (line,) = differences("view", stored, facts_of([one, changed]))
    assert line.startswith(f"view has {key}/2 as ")


def test_a_query_is_about_whole_names():
    facts = dict.fromkeys(("v1/instances/n/c/e/1", "v1/instances/n2/c/e/2", "v1/mdc/n/c/e/1"), "")
    assert list(asked_for(EndpointQuery(namespace="n"), facts)) == ["v1/instances/n/c/e/1"]


def test_drift_at_one_moment_fails_the_soak():
    found = Soak(Plan(), moments=[moment(), moment("the view lacks x"), moment()])
    assert found.failures() == ["drift: the view lacks x"]
    assert Soak(Plan(), moments=[moment(), moment()]).failures() == []


async def test_a_stream_whose_view_is_not_what_is_stored_is_told():
    async with discovery.connect("memory://soak") as d, d.watch(EndpointQuery()) as stream:
        instance = await d.register(endpoint())
        listener = Listener(stream, random.Random(1), Counter())
        async with running(listener.listen()):
            facts = facts_of([instance])
            assert await listener.compare(facts, instance.revision) == []
            key = "v1/instances/n0/c0/e0/1"
            (line,) = await listener.compare(facts | {key: "{}"}, instance.revision)
            assert line == f"the view of {stream.query} lacks {key}"
            listener.told.clear()
            (line,) = await listener.compare(facts, instance.revision)
            assert line.endswith("is not what its events add up to")


async def test_an_event_that_does_not_add_up_is_told():
    async with discovery.connect("memory://soak") as d, d.watch(EndpointQuery()) as stream:
        listener = Listener(stream, random.Random(1), Counter())
        instance = endpoint().instance(d.instance_id)
        listener.told[instance.id] = instance  # as if this had been told before
        async with running(listener.listen()):
            made = await d.register(endpoint())
            await stream.reached(made.revision)
        assert len(listener.wrong) == 1


async def test_a_soak_of_seconds_finds_nothing_wrong(tmp_path: Path):
    file, plot = tmp_path / "soak.json", tmp_path / "soak.svg"
    options = {
        "--minutes": 0.1,
        "--round": 3,
        "--workers": 50,
        "--streams": 20,
        "--ttl": 2,
        "--processes": 1,
        "--seed": 1,
        "--json": file,
        "--plot": plot,
    }
    words = [str(word) for option in options.items() for word in option]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.soak", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert [it["compared"] for it in found["moments"]] == [20, 20]
    assert all(it["records"] >= 100 and not it["differences"] for it in found["moments"])
    assert "2 still moments are too few" in done.stdout
    assert plot.read_text().count("<polyline") == 2 * len(
        {it["process"] for it in found["samples"]}
    )
