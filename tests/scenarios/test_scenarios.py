"""Every story goes as it is told, and a story that is told wrongly is found out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.script import difference, play
from tests.scenarios.stage import StoryError

HERE = Path(__file__).parent
STORIES = sorted(HERE.glob("*.txt"))
TOLD = """\
daemon d1
> d1: serves revision 1 of E1
router r1 watches models
> r1: follows d1
> r1: snapshot at revision 1
> r1: synced, 0 instances
after 2 s
> (nothing)
"""


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_goes_as_it_is_told(path: Path) -> None:
    assert difference(path) == ""


def test_a_wrong_line_a_missing_line_and_one_too_many_are_found(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_text(TOLD)
    assert difference(path) == ""
    for told, wrong, sign in (
        ("synced, 0 instances", "synced, 1 instance", "-> r1: synced, 1 instance"),
        ("> r1: follows d1\n", "", "+> r1: follows d1"),
        ("(nothing)", "r1: stale", "-> r1: stale"),
        ("> (nothing)", "> (nothing)\n> r1: stale", "-> r1: stale"),
    ):
        path.write_text(TOLD.replace(told, wrong))
        assert sign in difference(path).splitlines()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("daemon d1\nd1 sings\n", "line 2: 'd1 sings' is no sentence"),
        ("daemon d1\nd2 dies\n", "line 2: .*'d2' is not there: d1 are"),
        ("> d1: serves\n", "line 1: expected what happens before"),
        ("and d1 dies\n", "line 1: expected what happens at the same moment before"),
        ("daemon d1\n> d1: serves\nand d1 dies\n", "line 3: expected what happens at the same"),
    ],
)
def test_a_story_that_makes_no_sense_names_the_line(text: str, why: str) -> None:
    with pytest.raises(StoryError, match=why):
        play(text)


def test_stories_go_the_same_way_whatever_the_hash_seed() -> None:
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "tests.scenarios"],
            check=True,
            capture_output=True,
            cwd=HERE.parents[1],
            env={**os.environ, "PYTHONHASHSEED": seed},
        )


def test_the_documentation_lists_every_story() -> None:
    table = (HERE.parents[1] / "docs" / "protocol.md").read_text().partition("## Stories")[2]
    rows = [line for line in table.splitlines() if line[:1] == "|"]
    named = [name for row in rows for name in re.findall("`([a-z_]+)`", row)]
    assert sorted(named) == sorted(path.stem for path in HERE.glob("*.txt"))
