"""Let real faults befall real processes, and judge what routers saw."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.planting import BUG
from tests.chaos.run import play
from tests.chaos.schedule import drawn
from tests.simulation.bugs import planted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.schedule import Schedule

_OWN_MOUNTS = "DISCOVERYD_CHAOS_HAS_ITS_OWN_MOUNTS"
_DISK_BYTES = 1 << 20
_MOST_BLAMES = 20


def main() -> int:
    """Return 0 if nothing was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first run; default: by the clock")
    parser.add_argument("--runs", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--seconds", type=float, default=45.0, help="of faults in each run")
    parser.add_argument("--bug", help="plant this one of the simulation's into every process")
    parser.add_argument("--plan", action="store_true", help="only print what would happen")
    arguments = parser.parse_args()
    if arguments.bug:
        with planted(arguments.bug):  # whether it is known is told here and not by every process
            os.environ[BUG] = arguments.bug
    first = int(time.time()) if arguments.seed is None else arguments.seed
    for seed in range(first, first + arguments.runs):
        schedule = drawn(seed, arguments.seconds)
        if arguments.plan:
            print(*schedule.lines(), sep="\n")
        elif not _run(schedule):
            return 1
    return 0


def _run(schedule: Schedule) -> bool:
    """Play one schedule; say what it was, and when it went wrong also how to repeat it."""
    print(*schedule.lines(), sep="\n", flush=True)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        with _small_disk(folder) as disk:
            result = asyncio.run(play(schedule, folder, disk, lambda text: print(text, flush=True)))
    except BaseException:
        print(f"what was written is in {folder}; again: {_again(schedule)}", flush=True)
        raise
    print(", ".join(f"{name} {count}" for name, count in sorted(result.counts.items())))
    print(*result.broken[:_MOST_BLAMES], sep="\n")
    took = f"seed {schedule.seed}: {len(result.broken)} broken, {time.monotonic() - began:.0f} s"
    if result.broken:
        print(f"{took}; what was written is in {folder}; again: {_again(schedule)}", flush=True)
        return False
    shutil.rmtree(folder)
    print(f"{took}; healed {result.healed_s:.1f} s after the last fault", flush=True)
    return True


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk for logs that can be filled; what is in it at the end is copied to `logs`."""
    disk = folder / "disk"
    disk.mkdir()
    size = f"size={_DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(disk)], check=True)
    try:
        yield disk
    finally:
        shutil.copytree(disk, folder / "logs")
        subprocess.run(["umount", str(disk)], check=True)  # fails if somebody was left behind


def _again(schedule: Schedule) -> str:
    return f'make chaos ARGS="--seed {schedule.seed} --seconds {schedule.lasts_s:g}"'


def _with_own_mounts() -> None:
    """Begin again where a small disk can be mounted that nobody else sees; never returns."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    own = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]  # all end with us
    command = ["unshare", *own, *as_root, sys.executable, "-m", "tests.chaos", *sys.argv[1:]]
    os.execvpe(command[0], command, {**os.environ, _OWN_MOUNTS: "1"})


if __name__ == "__main__":
    if _OWN_MOUNTS not in os.environ:
        _with_own_mounts()
    sys.exit(main())
