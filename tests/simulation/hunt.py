"""Which seed is the first to show a planted bug."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.bugs import BUGS, planted
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_SEEDS = 200
_FOUND = Path(__file__).parent / "found.json"


def found_by() -> dict[str, int]:
    """Return a seed that shows each bug, as of the last `--bugs --write`.

    If the worlds have changed since, it may show it no more: then all have to be looked through.
    """
    found: dict[str, int] = json.loads(_FOUND.read_text("utf-8"))
    return found


def write_found(found: Mapping[str, int]) -> None:
    """Note seeds, and keep those of other bugs that there still are."""
    seeds = {**found_by(), **found}
    kept = {name: seeds[name] for name in BUGS if name in seeds}
    _FOUND.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


def hunt(name: str) -> tuple[str, int | None, str]:
    """Return a bug, the first seed that shows it, if any does, and as what."""
    with planted(name):
        for seed in range(MOST_SEEDS):
            broken = World(seed).run()
            if broken:
                return name, seed, broken.kind
    return name, None, ""


def hunt_all(names: Sequence[str], *, jobs: int) -> Iterator[tuple[str, int | None, str]]:
    """Hunt for several bugs at once; they come in their order."""
    if jobs == 1:
        yield from map(hunt, names)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(hunt, names)
