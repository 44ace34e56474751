"""Measure the daemon, with raw pyzmq beside it as the ceiling, and the peer system as the measure.

Figures are medians of rounds. Everything runs in processes of its own on free loopback ports.

usage: python benchmarks/run.py [--quick] [--only NAME …] [--json FILE]

With --only, other results that FILE has stay in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts import artifacts
from asking import keep_alives, registrations
from claims import claims
from events import events
from fanout import fanout
from figures import table
from growth import growth
from machine import Usage, describe
from memory import memory
from on_etcd import on_etcd
from peer import must_be_installed
from races import races
from removal import removal
from scale import Scale
from transport import transport
from visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from figures import Figure

BENCHMARKS: Mapping[str, Callable[[Scale], Sequence[Figure]]] = {
    "transport": transport,
    "keep_alives": keep_alives,
    "registrations": registrations,
    "claims": claims,
    "artifacts": artifacts,
    "visible": visible,
    "growth": growth,
    "fanout": fanout,
    "on_etcd": on_etcd,
    "removal": removal,
    "races": races,
    "events": events,
    "memory": memory,
}


def measured(name: str, scale: Scale) -> Mapping[str, object]:
    """Run one benchmark, print its table, and return its figures for programs."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    began, usage = time.monotonic(), Usage()
    rows = [figure.as_json() for figure in BENCHMARKS[name](scale)]
    took_s, others = time.monotonic() - began, usage.of_others()
    print(f"\n{name} ({took_s:.0f} s; other programs used {others:.1f} cores meanwhile)")
    lines = table(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print(f"  {'  '.join(cells)}".rstrip(), flush=True)
    return {
        "benchmark": name,
        "when": when,
        "is_quick": scale.is_quick,
        "took_s": round(took_s, 1),
        "cores_used_by_others": round(others, 2),
        "figures": rows,
    }


def kept(file: Path) -> dict[str, Mapping[str, object]]:
    """Return the results that a file has, by name."""
    if not file.exists():
        return {}
    return {result["benchmark"]: result for result in json.loads(file.read_text())["results"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little of it, to see that it works")
    parser.add_argument("--only", choices=BENCHMARKS, nargs="+", help="these of the benchmarks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    must_be_installed()
    about = describe()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    found = kept(options.json) if options.json and options.only else {}
    for name in options.only or BENCHMARKS:
        found[name] = measured(name, Scale(options.quick))
        if options.json:  # each time, so that an interrupted run loses only the rest
            results = [found[name] for name in BENCHMARKS if name in found]
            text = json.dumps({"about": about, "results": results}, indent=1, ensure_ascii=False)
            options.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
