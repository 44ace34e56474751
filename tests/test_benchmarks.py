"""The benchmarks run, and their page shows what they wrote. No time is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "benchmarks" / "results.json"
NAMES = [
    "transport",
    "keep_alives",
    "registrations",
    "visible",
    "growth",
    "fanout",
    "on_etcd",
    "events",
]


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / script, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check_figures(result: dict) -> None:
    assert result["figures"]
    for figure in result["figures"]:
        assert figure["unit"] in {"/s", "ms", "us", "B", "times", "events"}
        assert figure["rounds"]
        assert figure["got"] == pytest.approx(median(figure["rounds"]), rel=1e-3)
        assert (figure["aim"] is None) == (figure["is_met"] is None)
        assert (figure["raw"] is None) == (figure["ratio"] is None) == (not figure["ceiling"])
        assert (figure["at"] is None) == (not figure["of"])


def test_a_quick_run_measures_and_writes_figures(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = run("run.py", "--quick", "--only", "keep_alives", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    written = json.loads(file.read_text())
    assert written["about"]["is_quick"] is True
    (result,) = written["results"]
    assert result["benchmark"] == "keep_alives"
    check_figures(result)
    rates = [figure for figure in result["figures"] if figure["unit"] == "/s"]
    assert all(figure["got"] > 0 and figure["ceiling"] for figure in rates)
    assert all(figure["name"] in done.stdout for figure in result["figures"])


def test_the_published_run_is_a_whole_one() -> None:
    published = json.loads(RESULTS.read_text())
    assert published["about"]["is_quick"] is False
    assert [result["benchmark"] for result in published["results"]] == NAMES
    for result in published["results"]:
        check_figures(result)


def test_the_page_shows_the_published_run() -> None:
    done = run("page.py", "--check")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_with_another_figure_would_be_noticed(tmp_path: Path) -> None:
    published = json.loads(RESULTS.read_text())
    for result in published["results"]:
        if result["benchmark"] == "growth":
            result["figures"][0]["got"] *= 2
    other = tmp_path / "results.json"
    other.write_text(json.dumps(published))
    done = run("page.py", "--check", "--json", str(other))
    assert done.returncode == 1
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == {
        "benchmarks.md",
        "first-view.svg",
    }
