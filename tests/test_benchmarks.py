"""The benchmarks run, and their page shows what they wrote. No time is judged here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "docs" / "benchmarks" / "results.json"
NAMES = [
    "transport",
    "keep_alives",
    "registrations",
    "claims",
    "artifacts",
    "visible",
    "growth",
    "fanout",
    "on_etcd",
    "removal",
    "races",
    "events",
    "memory",
]
UNITS = {"/s", "%", "ms", "us", "s", "B", "MB", "times"}
SETTINGS = {"100 times", "1.2 times", "10 s", "30 s", "2.5 s", "8.3 s", "2.3 s", "7.5 s", "22.5 s"}
"""What the page may state of itself: how it is measured, and what follows from a TTL."""
COUNTED = {"events", "workers", "pairs", "threads", "watches"}


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / script, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check_figures(result: dict) -> None:
    assert result["figures"]
    for figure in result["figures"]:
        assert figure["unit"] in UNITS | COUNTED
        assert figure["rounds"]
        assert figure["got"] == pytest.approx(median(figure["rounds"]), rel=1e-3)
        assert (figure["aim"] is None) == (figure["is_met"] is None)
        assert (figure["raw"] is None) == (not figure["ceiling"])
        assert (figure["ratio"] is None) == (not figure["raw"])
        assert (figure["at"] is None) == (not figure["of"])


def test_a_quick_run_of_some_measures_them_and_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    other = json.loads(RESULTS.read_text())["results"][-1]
    file.write_text(json.dumps({"about": {}, "results": [other]}))
    done = run("run.py", "--quick", "--only", "transport", "keep_alives", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    written = json.loads(file.read_text())
    assert written["about"]["cores"] == os.cpu_count()
    transport, result, kept = written["results"]
    assert [transport["benchmark"], result["benchmark"]] == ["transport", "keep_alives"]
    assert kept == other
    assert result["is_quick"] is True
    assert result["when"] > other["when"]
    check_figures(result)
    rates = [figure for figure in result["figures"] if figure["unit"] == "/s"]
    assert all(figure["got"] > 0 and figure["ceiling"] for figure in rates)
    assert all(figure["name"] in done.stdout for figure in result["figures"])


def test_without_the_peer_system_nothing_is_measured_and_what_to_install_is_said() -> None:
    script = str(ROOT / "benchmarks" / "run.py")
    program = f"""
import runpy, sys
sys.modules["dynamo"] = None
sys.argv = [{script!r}, "--quick", "--only", "keep_alives"]
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
runpy.run_path({script!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = "the peer system is not installed: pip install 'discoveryd[peers]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_the_published_run_is_a_whole_one() -> None:
    published = json.loads(RESULTS.read_text())
    assert [result["benchmark"] for result in published["results"]] == NAMES
    for result in published["results"]:
        assert result["is_quick"] is False
        check_figures(result)


def test_the_page_has_every_benchmark_and_every_plot() -> None:
    page = PAGE.read_text()
    assert set(re.findall(r"^<!-- ([a-z_]+) -->$", page, re.MULTILINE)) == {
        *NAMES,
        *("about", "aims", "losses", "end"),
    }
    plots = {file.name for file in RESULTS.parent.glob("*.svg")}
    assert set(re.findall(r"!\[.+?\]\(benchmarks/(.+?)\)", page)) == plots
    assert f"some of: {' '.join(NAMES)}\n" in page


def test_a_measured_figure_in_a_sentence_is_one_of_the_run() -> None:
    page = re.sub(r"(?ms)^<!-- [a-z_]+ -->$.*?^<!-- end -->$", "", PAGE.read_text())
    assert not re.search(r"^<!-- (got|raw|ratio) of", page, re.MULTILINE)  # markdown ends the line
    page, filled = re.subn(r"<!-- (got|raw|ratio) of .+? -->.+?<!---->", "", page)
    assert filled > 3
    units = "|".join(sorted(map(re.escape, UNITS)))
    stated = re.findall(rf"\b[\d.,]*\d ?(?:{units})(?!\w)", page)
    assert set(stated) == SETTINGS


def test_where_we_lose_says_all_in_which_the_peer_is_better_and_nothing_else() -> None:
    losses = PAGE.read_text().partition("<!-- losses -->")[2].partition("<!-- end -->")[0]
    said = [line.split(" | ")[0].removeprefix("| ") for line in losses.splitlines()[3:]]
    wanted = []
    for result in json.loads(RESULTS.read_text())["results"]:
        for figure in result["figures"]:
            if figure["beside"] == "the peer" and figure["ceiling"]:
                pair = [median(figure["rounds"]), median(figure["ceiling"])]
                got, raw = pair[::-1] if figure["unit"] in {"/s", "%"} else pair
                if got > raw * 1.0501:
                    wanted.append(figure["name"])
    assert len(said) == len(wanted) > 0
    assert all(any(line.startswith(name) for line in said) for name in wanted)


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
