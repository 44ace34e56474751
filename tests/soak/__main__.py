"""Churn a fleet for an hour: memory and descriptors must be flat, and no view must drift."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from tests.soak.fleet import Plan
from tests.soak.picture import picture
from tests.soak.run import Soak, soak


def main() -> int:
    """Return 0 if all was flat and nothing drifted, else 1."""
    arguments = _parser().parse_args()
    plan = Plan(
        length_s=arguments.minutes * 60,
        round_s=arguments.round,
        workers=arguments.workers,
        streams=arguments.streams,
        changes_per_s=arguments.changes,
        ttl_s=arguments.ttl,
        processes=arguments.processes,
        seed=int(time.time()) if arguments.seed is None else arguments.seed,
    )
    _say(str(plan))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also if started in the background
    found = Soak(plan)
    try:
        asyncio.run(soak(found, _say))
    except BaseException:
        _say(f"broken off, seed {plan.seed}")
        raise
    finally:
        _write(found, arguments.json, arguments.plot)
    for line in found.summary():
        _say(line)
    if not found.is_long_enough:
        _say(f"{len(found.moments)} still moments are too few to judge growth by")
    for failure in found.failures():
        _say(f"FAILED, seed {plan.seed}: {failure}")
    return int(bool(found.failures()))


def _write(found: Soak, file: Path | None, plot: Path | None) -> None:
    if file:
        file.write_text(json.dumps(found.as_json()))
    if plot and found.samples:
        plot.write_text(picture(found.samples))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=Plan.length_s / 60)
    parser.add_argument("--round", type=float, default=Plan.round_s, help="seconds, rest to rest")
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--streams", type=int, default=Plan.streams)
    parser.add_argument("--changes", type=float, default=Plan.changes_per_s, help="a second")
    parser.add_argument("--ttl", type=float, default=Plan.ttl_s, help="seconds, of leases")
    parser.add_argument("--processes", type=int, default=Plan.processes, help="of each kind")
    parser.add_argument("--seed", type=int, help="of what workers and routers do; default: a new")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it as SVG")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
