"""One soak: minutes of churn with a still moment each, samples all the while, and the verdict."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.fleet import Fleet, Plan
from tests.soak.judging import FEWEST_MOMENTS, Growth, counted, growths
from tests.soak.moment import Moment, look
from tests.soak.sampling import Sample, sample
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE_S = 5.0


@dataclass
class Soak:
    """What a soak has found so far."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    @property
    def is_long_enough(self) -> bool:
        return len(self.moments) >= FEWEST_MOMENTS

    def growths(self) -> list[Growth]:
        """How everything grew, after enough moments; etcd's own memory is not ours to judge."""
        if not self.is_long_enough:
            return []
        names = self.moments[-1].store
        series = {name: [it.store.get(name, 0) for it in self.moments] for name in names}
        return growths([one for one in self.samples if one.process != "etcd"]) + counted(series)

    def failures(self) -> list[str]:
        """What is wrong, in words; empty when all is well."""
        told = [f"drift: {line}" for moment in self.moments for line in moment.differences]
        return told + [str(growth) for growth in self.growths() if not growth.is_flat]

    def summary(self) -> list[str]:
        """What was done and found, in words."""
        last, compared = self.moments[-1], sum(it.compared for it in self.moments)
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(last.done.items()))
        counters = ("relists_total", "pauses_total", "refusals_total", "divergences_total")
        told = [
            f"daemon {number}: " + ", ".join(f"{name} {it[name]:g}" for name in counters)
            for number, it in enumerate(last.metrics, 1)
        ]
        return [
            f"{len(self.moments)} still moments, {compared:,} views compared; {counts}",
            f"etcd forgot its history up to revision {last.compacted:,.0f}",
            *told,
            *map(str, self.growths()),
        ]

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "growths": [asdict(it) for it in self.growths()]}


async def soak(found: Soak, tell: Callable[[str], None]) -> None:
    """Run a soak to its end, or to the first drift; tell a line at each still moment."""
    plan, began = found.plan, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        async with Fleet(plan, Path(name)) as fleet:
            tell(f"the fleet is up after {time.monotonic() - began:.0f} s")
            began = time.monotonic()
            async with running(_sample_often(fleet, found, began)):
                for due_s in _ends_of_rounds(plan):
                    await asyncio.sleep(began + due_s - time.monotonic())
                    await _be_still(fleet, found, Path(name), began)
                    tell(_line(found))
                    if found.moments[-1].differences:
                        break


def _ends_of_rounds(plan: Plan) -> list[float]:
    return [plan.round_s * n for n in range(1, round(plan.length_s / plan.round_s) + 1)]


async def _be_still(fleet: Fleet, found: Soak, folder: Path, began: float) -> None:
    async with fleet.still() as calm:
        found.moments.append(await look(fleet, calm, folder, time.monotonic() - began))
        await _sample(fleet, found, began, is_still=True)


async def _sample_often(fleet: Fleet, found: Soak, began: float) -> None:
    while True:
        await _sample(fleet, found, began, is_still=False)
        await asyncio.sleep(_SAMPLE_S)


async def _sample(fleet: Fleet, found: Soak, began: float, *, is_still: bool) -> None:
    for name, program in fleet.programs.items():
        assert program.process.returncode is None, f"{name} ended, {program.process.returncode}"
    pids = {name: program.pid for name, program in fleet.programs.items()}
    for name, pid in {"etcd": fleet.etcd.pid, **pids}.items():
        at_s = time.monotonic() - began
        found.samples.append(await asyncio.to_thread(sample, pid, name, at_s, is_still=is_still))


def _line(found: Soak) -> str:
    """The line of the last still moment."""
    moment, last = found.moments[-1], {it.process: it for it in found.samples if it.is_still}
    daemons = " and ".join(
        f"{it.memory_bytes / 2**20:.1f} MiB, {it.descriptors} descriptors"
        for name, it in last.items()
        if name.startswith("daemon")
    )
    return (
        f"{moment.at_s / 60:5.1f} min: {moment.records} records, {moment.compared} views and"
        f" {len(moment.metrics)} lists compared, {len(moment.differences)} differences,"
        f" {moment.changes} changes; daemons {daemons}"
    )
