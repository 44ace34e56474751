"""Put the figures of a run into docs/benchmarks.md, as tables and plots.

usage: python benchmarks/page.py [--check] [--json FILE]

Reads docs/benchmarks/results.json, or another file that `benchmarks/run.py --json` wrote. With
--check it changes nothing, and fails when the page or a plot does not show those figures.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import Figure, table
from plot import Plot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plot import Points

    Rows = Sequence[Mapping[str, Any]]

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
FOLDER = PAGE.with_suffix("")
RESULTS = FOLDER / "results.json"
_PART = re.compile(r"<!-- ([a-z_]+) -->\n.*?<!-- end -->", re.DOTALL)


def files(run: Mapping[str, Any], text: str) -> Mapping[Path, str]:
    """Return what the page and its plots must say, by file; `text` is the page as it is."""
    rows = {result["benchmark"]: result["figures"] for result in run["results"]}
    aimed = [row for found in rows.values() for row in found if row["aim"] is not None]
    aimed = [row for row in aimed if row["beside"] == Figure.beside]  # one head for all
    parts = {name: _table(found) for name, found in rows.items()}
    parts |= {"about": _about(run), "aims": _table(aimed)}
    page = _PART.sub(lambda found: f"<!-- {found[1]} -->\n{parts[found[1]]}\n<!-- end -->", text)
    return {PAGE: page} | {FOLDER / f"{name}.svg": plot.svg() for name, plot in _plots(rows)}


def _about(run: Mapping[str, Any]) -> str:
    about = run["about"]
    others = max(result["cores_used_by_others"] for result in run["results"])
    minutes = sum(result["took_s"] for result in run["results"]) / 60
    return (
        f"Taken {about['when'][:10]} in {minutes:.0f} minutes on a virtual machine: "
        f"{about['cores']} cores of an {about['processor']}, Python {about['python']}, "
        f"pyzmq {about['pyzmq']}, libzmq {about['libzmq']}.\n"
        f"Other programs used {others:.1f} cores at most while a benchmark ran."
    )


def _table(rows: Rows) -> str:
    head, *lines = table(rows)
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *lines))


def _plots(rows: Mapping[str, Rows]) -> Iterator[tuple[str, Plot]]:
    growth, fanout = rows["growth"], rows["fanout"]
    yield (
        "first-view",
        Plot(
            title="A fresh router's first view",
            x="instances",
            y="ms",
            is_log=True,
            lines={
                "of what just changed": _points(growth, "first view, of what just changed"),
                "like the one before": _points(growth, "first view, like the one before"),
                "raw pyzmq": _points(growth, "first view, of what just changed", "raw"),
            },
        ),
    )
    yield (
        "cost-of-an-event",
        Plot(
            title="Daemon CPU, by the number of instances",
            x="instances",
            y="us each",
            lines={
                "an event, at 1,000 a second": _points(growth, "an event at 1,000/s, daemon CPU"),
                "a keep-alive": _points(growth, "a keep-alive, daemon CPU"),
            },
        ),
    )
    yield (
        "memory",
        Plot(
            title="Daemon memory for an endpoint and its lease",
            x="instances",
            y="bytes",
            lines={"an endpoint": _points(growth, "an endpoint, daemon memory")},
            bound=(2048, "aim: at most 2,048"),
        ),
    )
    yield (
        "fan-out",
        Plot(
            title="From a change to the application, by the number of streams",
            x="streams, a connection each, in 4 processes",
            y="ms",
            is_log=True,
            lines={
                "p50": _points(fanout, "change → a stream, p50"),
                "p99": _points(fanout, "change → a stream, p99"),
                "raw pyzmq, p99": _points(fanout, "change → a stream, p99", "raw"),
            },
        ),
    )


def _points(rows: Rows, name: str, value: str = "got") -> Points:
    return [(row["at"], row[value]) for row in rows if row["name"] == name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if it would")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="the figures")
    options = parser.parse_args()
    wanted = files(json.loads(options.json.read_text()), PAGE.read_text())
    wrong = [file for file, text in wanted.items() if _text_of(file) != text]
    for file in wrong:
        print(f"{file.name}: other figures than in {options.json}")
        if not options.check:
            file.write_text(wanted[file])
    return int(options.check and bool(wrong))


def _text_of(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
