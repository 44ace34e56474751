"""Play one seed, a campaign of many, or look for the seeds that show planted bugs."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.bugs import BUGS, planted
from tests.simulation.campaign import play_all
from tests.simulation.hunt import MOST_SEEDS, found_by, hunt_all, write_found
from tests.simulation.shrinking import tell
from tests.simulation.world import STEPS, World


def main() -> int:
    """Return 0 if nothing was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one; default: 0, or the bug's")
    parser.add_argument("--trace", action="store_true", help="tell all of the story")
    parser.add_argument("--only", help="disturbances that happen, as f3,a17, or none; default: all")
    parser.add_argument("--bug", help="plant this one")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps before all calms down")
    parser.add_argument("--campaign", type=int, metavar="COUNT", help="play as many seeds")
    parser.add_argument("--first", type=int, help="seed to begin with; default: by the clock")
    parser.add_argument("--bugs", nargs="?", const="", metavar="NAME", help="find bugs, or one")
    parser.add_argument("--write", action="store_true", help="note the seeds that --bugs found")
    parser.add_argument("--jobs", type=int, default=2, help="processes to use")
    arguments = parser.parse_args()
    if arguments.bugs is not None:
        return _hunt(arguments.bugs, arguments.jobs, is_written=arguments.write)
    with planted(arguments.bug):
        if arguments.campaign:
            first = int(time.time()) if arguments.first is None else arguments.first
            return _campaign(first, arguments.campaign, arguments.jobs, arguments.steps)
        return _one(arguments)


def _one(arguments: argparse.Namespace) -> int:
    seed, steps, only = arguments.seed, arguments.steps, arguments.only
    if seed is None:
        seed = found_by().get(arguments.bug, 0)
    names = None if only is None else frozenset(only.split(","))
    world = World(seed, steps=steps, only=names, is_traced=arguments.trace or only is not None)
    broken = world.run()
    if world.is_traced:
        _say(*world.story)
    elif broken:
        _say(*tell(seed, steps=steps, bug=arguments.bug))
    _say_counts(world.counts)
    _say(broken or f"seed {seed}: nothing was broken")
    return int(broken is not None)


def _campaign(first: int, count: int, jobs: int, steps: int) -> int:
    _say(f"seeds {first} to {first + count - 1}")
    began = time.monotonic()
    result = play_all(range(first, first + count), jobs=jobs, steps=steps)
    _say_counts(result.counts)
    if result.broken:
        _say(*tell(min(result.broken), steps=steps))
    _say(*result.broken.values())
    if result.missing:
        _say(f"never happened: {', '.join(result.missing)}")
    took_s = time.monotonic() - began
    _say(f"{len(result.broken)} of {count} broken, {took_s:.0f} s, {count / took_s:.1f} seeds/s")
    return int(bool(result.broken or result.missing))


def _hunt(name: str, jobs: int, *, is_written: bool) -> int:
    """Print the first seed that shows each bug."""
    found: dict[str, int | None] = {}
    for bug, seed, kind in hunt_all([name] if name else list(BUGS), jobs=jobs):
        found[bug] = seed
        _say(f"{'-' if seed is None else seed:>4}  {bug}{f': {kind}' if kind else ''}")
    missed = [bug for bug, seed in found.items() if seed is None]
    if is_written:
        write_found({bug: seed for bug, seed in found.items() if seed is not None})
    if missed:
        _say(f"not found by {MOST_SEEDS} worlds: {', '.join(missed)}")
    return int(bool(missed))


def _say(*texts: object) -> None:
    for text in texts:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say_counts(counts: dict[str, int]) -> None:
    _say(", ".join(f"{name} {counts[name]}" for name in sorted(counts)))


if __name__ == "__main__":
    sys.exit(main())
