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

from figures import Figure, label, number, table, times_worse
from plots import plots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plots import Rows

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
FOLDER = PAGE.with_suffix("")
RESULTS = FOLDER / "results.json"
_PART = re.compile(r"<!-- ([a-z_]+) -->\n.*?<!-- end -->", re.DOTALL)
_NUMBER = re.compile(r"<!-- (got|raw|ratio) of (.+?) -->.*?<!---->")
"""A figure in a sentence: ours, the one beside it, or ours by that one."""
_EQUAL = 1.05
"""Who is worse by less is not."""


def files(run: Mapping[str, Any], text: str) -> Mapping[Path, str]:
    """Return what the page and its plots must say, by file; `text` is the page as it is."""
    rows = {result["benchmark"]: result["figures"] for result in run["results"]}
    aimed = [row for found in rows.values() for row in found if row["aim"] is not None]
    aimed = [row for row in aimed if row["beside"] == Figure.beside]  # one head for all
    parts = {name: _table(found) for name, found in rows.items()}
    beside = [row for found in rows.values() for row in found if row["beside"] != Figure.beside]
    parts |= {"about": _about(run), "aims": _table(aimed), "losses": _losses(beside)}
    page = _PART.sub(lambda found: f"<!-- {found[1]} -->\n{parts[found[1]]}\n<!-- end -->", text)
    by_label = {label(row): row for found in rows.values() for row in found}
    page = _NUMBER.sub(lambda found: _in_a_sentence(found[1], found[2], by_label), page)
    return {PAGE: page} | {FOLDER / f"{name}.svg": plot.svg() for name, plot in plots(rows)}


def _about(run: Mapping[str, Any]) -> str:
    about = run["about"]
    days = sorted({result["when"][:10] for result in run["results"]})
    others = max(result["cores_used_by_others"] for result in run["results"])
    minutes = sum(result["took_s"] for result in run["results"]) / 60
    return (
        f"Taken {' and '.join(days)} in {minutes:.0f} minutes on a virtual machine: "
        f"{about['cores']} cores of an {about['processor']}, Python {about['python']}, "
        f"pyzmq {about['pyzmq']}, libzmq {about['libzmq']},\n"
        f"etcd {about['etcd']}, nats-server {about['nats']}, the peer system {about['peer']}. "
        f"Other programs used {others:.1f} cores at most while a benchmark ran."
    )


def _losses(rows: Rows) -> str:
    """Return what the peer system does better, worst first."""
    lost = [row for row in rows if row["raw"] is not None and times_worse(row) >= _EQUAL]
    lines = ["| what | ours | the peer's | times worse |", "| --- | ---: | ---: | ---: |"]
    for row in sorted(lost, key=times_worse, reverse=True):
        cells = [f"{number(row[side])} {row['unit']}" for side in ("got", "raw")]
        lines.append(f"| {label(row)} | {' | '.join(cells)} | {times_worse(row):.1f} |")
    return "\n".join(lines)


def _in_a_sentence(side: str, name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    row = rows[name]
    unit = "times" if side == "ratio" else row["unit"]
    return f"<!-- {side} of {name} -->{number(row[side])} {unit}<!---->"


def _table(rows: Rows) -> str:
    head, *lines = table(rows)
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *lines))


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
