"""Stories as text: what happens, and below it, behind ">", all that was printed because of it.

    # A comment, for people.
    w1 registers models/prod/vllm/generate qwen
    and w2 registers models/prod/vllm/generate llama
    > w1: registered at revision 3

A line that begins with "and" happens at the same moment as the one before. Where nothing is
printed there is no line, but after a wait, which says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import unified_diff
from typing import TYPE_CHECKING

from tests.scenarios.sentences import deed_from_sentence
from tests.scenarios.stage import Stage, StoryError

if TYPE_CHECKING:
    from pathlib import Path

_TOLD, _WITH, _WAIT = ">", "and ", "after "
_NOTHING = "(nothing)"


@dataclass(slots=True)
class Step:
    """What happens at one moment: the lines as they stand, each with its number in the file."""

    lines: list[tuple[int, str]] = field(default_factory=list)


def play(text: str) -> str:
    """Return the story with what is printed now in the place of what it says is printed."""
    stage = Stage()
    out: list[str] = []
    try:
        for part in _parts(text):
            if isinstance(part, str):
                out.append(part)
            else:
                out += [line for _, line in part.lines]
                out += [f"{_TOLD} {line}" for line in _said_during(part, stage)]
    finally:
        stage.close()
    return "".join(f"{line}\n" for line in out)


def difference(path: Path) -> str:
    """Return how the story in a file goes otherwise than it says; nothing if it goes as told."""
    told = path.read_text(encoding="utf-8")
    went = play(told)
    if told == went:
        return ""
    lines = unified_diff(
        told.splitlines(),
        went.splitlines(),
        f"{path.name}, as told",
        "as it went",
        lineterm="",
        n=4,
    )
    return "\n".join(lines)


def _parts(text: str) -> list[str | Step]:
    """Return steps, and the lines between them that are for people. What was told is left out."""
    parts: list[str | Step] = []
    is_told = False
    for number, line in enumerate(text.splitlines(), 1):
        last = parts[-1] if parts else None
        if line.startswith(_TOLD):
            if not isinstance(last, Step):
                raise StoryError(f"line {number}: expected what happens before what is printed")
        elif not line.strip() or line.startswith("#"):
            parts.append(line)
        elif line.startswith(_WITH):
            if not isinstance(last, Step) or is_told:
                raise StoryError(f"line {number}: expected what happens at the same moment before")
            last.lines.append((number, line))
        else:
            parts.append(Step([(number, line)]))
        is_told = line.startswith(_TOLD)
    return parts


def _said_during(step: Step, stage: Stage) -> list[str]:
    said: list[str] = []
    number = step.lines[0][0]
    try:
        deeds = [deed_from_sentence(line.removeprefix(_WITH), stage) for _, line in step.lines]
        said = stage.do(deeds)
    except StoryError as error:
        raise StoryError(f"line {number}: {error}") from error
    is_wait = step.lines[0][1].startswith(_WAIT)
    return said or ([_NOTHING] if is_wait else [])
