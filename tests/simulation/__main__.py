"""Play one seed, or a campaign of many; see `--help`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.campaign import play_all
from tests.simulation.world import STEPS, World


def main() -> int:
    """Return 0 if nothing was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one and tell its story")
    parser.add_argument("--trace", action="store_true", help="tell all of the story")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps before all calms down")
    parser.add_argument("--campaign", type=int, metavar="COUNT", help="play as many seeds")
    parser.add_argument("--first", type=int, help="seed to begin with; default: by the clock")
    parser.add_argument("--jobs", type=int, default=2, help="processes of a campaign")
    arguments = parser.parse_args()
    if arguments.campaign:
        first = int(time.time()) if arguments.first is None else arguments.first
        return _campaign(first, arguments.campaign, arguments.jobs, arguments.steps)
    return _one(arguments.seed or 0, arguments.steps, is_traced=arguments.trace)


def _one(seed: int, steps: int, *, is_traced: bool) -> int:
    world = World(seed, steps=steps, is_traced=is_traced)
    broken = world.run()
    if broken or is_traced:
        _say("\n".join(world.story))
    _print_counts(world.counts)
    _say("\n".join(broken) or f"seed {seed}: nothing was broken")
    return bool(broken)


def _campaign(first: int, count: int, jobs: int, steps: int) -> int:
    _say(f"seeds {first} to {first + count - 1}")
    began = time.monotonic()
    result = play_all(range(first, first + count), jobs=jobs, steps=steps)
    _print_counts(result.counts)
    for text in result.broken.values():
        _say(text)
    if result.missing:
        _say(f"never happened: {', '.join(result.missing)}")
    took_s = time.monotonic() - began
    _say(f"{len(result.broken)} of {count} broken, {took_s:.0f} s, {count / took_s:.1f} seeds/s")
    return bool(result.broken or result.missing)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_counts(counts: dict[str, int]) -> None:
    _say(", ".join(f"{name} {counts[name]}" for name in sorted(counts)))


if __name__ == "__main__":
    sys.exit(main())
