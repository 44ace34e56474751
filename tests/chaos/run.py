"""One run: begin everything, let the schedule befall it, wait until all is well, judge."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discovery.follower import StreamState
from discovery.keys import parse_key
from tests.chaos.fleet import Fleet
from tests.chaos.replay import Broken, Replay
from tests.chaos.schedule import TTL_S
from tests.support.keystate import within
from tests.support.processes import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.chaos.schedule import Fault, Schedule

HEALS_WITHIN_S = 45.0
"""From the end of the last fault until every view is right; all here share two cores."""
_FRESH_S = 2.0
_LAST_WORDS = ("Traceback", "Exception Group Traceback", "Fatal Python error")
_TELLS_OF_LOSS = "discovery.keeper"


@dataclass(frozen=True)
class Result:
    """What was broken, and how much was seen."""

    broken: Sequence[Broken]
    counts: Mapping[str, int]
    healed_s: float


async def play(schedule: Schedule, folder: Path, disk: Path, say: Callable[[str], None]) -> Result:
    """Run a schedule with real processes; what they write is left in `folder`."""
    began_at = time.monotonic()
    async with Fleet(schedule, folder, disk) as fleet:
        await _until_up(fleet)
        await _befall(fleet, say)
        calm_at = time.monotonic()
        owned, unwell = await _heal(fleet)
        healed_s = time.monotonic() - calm_at
        if fleet.log:
            await fleet.logged()
        replay = Replay(fleet, began_at)
        replay.play()
        if unwell:
            replay.blame("not healed", f"after {healed_s:.0f} s: {unwell}")
        else:
            replay.check_end(owned)
        await _end(fleet, replay)
    return Result(replay.broken, _counts(fleet, replay), healed_s)


async def _until_up(fleet: Fleet) -> None:
    async with asyncio.timeout(2 * PATIENCE_S):
        while len(fleet.running) < len(fleet.actors):
            await asyncio.sleep(0.1)
        for actor in fleet.running:
            while actor.role == "daemon" and not await fleet.is_ready(actor):
                await asyncio.sleep(0.1)
        for actor in fleet.running:
            while actor.role == "router":
                streams = await actor.now.ask("look")
                if streams and all(stream["state"] == StreamState.LIVE for stream in streams):
                    break
                await asyncio.sleep(0.1)


async def _befall(fleet: Fleet, say: Callable[[str], None]) -> None:
    began_at = time.monotonic()

    async def befall(fault: Fault) -> None:
        await asyncio.sleep(fault.at_s - (time.monotonic() - began_at))
        await fleet.deeds.befall(fault)
        say(f"{time.monotonic() - began_at:5.1f}  over: {fault.whom}, {fault.what}")

    async with asyncio.TaskGroup() as group:
        for fault in fleet.schedule.faults:
            group.create_task(befall(fault))
        await asyncio.sleep(fleet.schedule.lasts_s)


async def _calm_down(fleet: Fleet) -> dict[str, Sequence[str]]:
    """Let workers change nothing any more; return what each believes to have registered."""
    owned = {}
    for actor in fleet.running:
        if actor.role == "worker":
            said = await actor.now.ask("calm")
            if said:
                owned[actor.name] = said["owned"]
    return owned


async def _heal(fleet: Fleet) -> tuple[Mapping[str, Sequence[str]], list[str]]:
    """Wait until every router shows what all workers have.

    Returns what each worker believes to have, and what is wrong at the end.
    """
    owned = await _calm_down(fleet)
    await asyncio.sleep(TTL_S + 1.0)  # until whoever was killed last has no lease any more
    wrong: list[str] = []
    deadline = time.monotonic() + HEALS_WITHIN_S
    while time.monotonic() < deadline:
        owned = await _calm_down(fleet)
        wrong = [text for actor in fleet.running for text in await _wrong_with(actor, owned)]
        absent = sorted(fleet.actors.keys() - {actor.name for actor in fleet.running})
        wrong += [f"{name} is not running" for name in absent]
        if not wrong:
            break
        await asyncio.sleep(0.2)
    return owned, wrong


async def _wrong_with(actor: Any, owned: Mapping[str, Sequence[str]]) -> list[str]:
    if actor.role != "router":
        return []
    said = await actor.now.ask("look")
    if said is None:
        return [f"{actor.name} ended: see {actor.place.name}.log"]
    keys = {key: key for every in owned.values() for key in every}
    last = sum("/last/" in key for key in keys)
    if last < len(owned):
        return [f"{len(owned) - last} workers could not register anything more"]
    wrong = []
    for stream in said:
        there = within_scope(keys, tuple(stream["scope"]))
        is_live = stream["state"] == StreamState.LIVE and stream["staleness_s"] < _FRESH_S
        if stream["ids"] != there or not is_live or not stream["has"]:
            more = sorted(set(stream["ids"]) ^ set(there))[:3]
            wrong.append(f"{actor.name}: {stream['scope']} is {stream['state']}, differs: {more}")
    return wrong


def within_scope(keys: Mapping[str, Any], scope: tuple[str, ...]) -> list[str]:
    """Return the ids of the keys of a scope."""
    return sorted(str(parse_key(key)) for key in within(keys, scope))


async def _end(fleet: Fleet, replay: Replay) -> None:
    """Daemons end in good order, did so whenever they were told to, and nobody ended by a fault."""
    for actor in fleet.running:
        if actor.role == "daemon":
            await actor.end()
        if any(actor.statuses):
            replay.blame("fault", f"{actor.name} ended with {actor.statuses}")
    for actor in fleet.actors.values():
        if any(status < 0 or actor.role != "daemon" for status in actor.gave_up):
            replay.blame("fault", f"{actor.name} ended by itself, with {actor.gave_up}")
    for log in [*fleet.folder.glob("*-*.log"), *fleet.disk.glob("*.log")]:
        for line in log.read_text(errors="replace").splitlines():
            if _is_fault(line):
                replay.blame("fault", f"{log.name}: {line[:500]}")


def _is_fault(line: str) -> bool:
    """Say whether a line of a log tells of an error of ours."""
    try:
        said = json.loads(line)
    except ValueError:  # cut off by a full disk, or what Python says at its end
        return line.lstrip(" +|").startswith(_LAST_WORDS)
    # gRPC misreads its own words (1.71 and later). What could not be put back is told as an error.
    if said["logger"] == "grpc._cython.cygrpc":
        return False
    return "exception" in said or (said["level"] == "error" and said["logger"] != _TELLS_OF_LOSS)


def _counts(fleet: Fleet, replay: Replay) -> Mapping[str, int]:
    counts = Counter(replay.counts)
    counts["gave up at start"] = sum(len(actor.gave_up) for actor in fleet.actors.values())
    counts["revisions"] = sum(len(line.revisions) for line in replay.truth.lines.values())
    for fault in fleet.deeds.befell:
        counts[fault.what] += 1
    for router in replay.routers.values():
        counters = router.follower.counters
        for name in ("gaps", "snapshots", "backfills", "corruptions"):
            counts[name] += getattr(counters, name, 0)
    return counts
