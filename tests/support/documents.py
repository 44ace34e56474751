"""The documentation as tests read it: pages, their blocks, and what they say is printed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
REQUESTS, EVENTS, HTTP = 4710, 4711, 4712  # the defaults, which pages use

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two fences; `printed` is a block of text right after it, if there is."""

    page: Path
    line: int
    language: str
    text: str
    printed: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def named(page: Path) -> str:
    """A page's path from the project's folder."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> Iterator[Block]:
    """The fenced blocks of one language, in order."""
    content = page.read_text()
    found = list(_FENCE.finditer(content))
    for at, match in enumerate(found):
        if match[1] != language:
            continue
        after = found[at + 1] if at + 1 < len(found) else None
        is_output = (
            after is not None
            and after[1] == "text"
            and not content[match.end() : after.start()].strip()
        )
        yield Block(
            page=page,
            line=content.count("\n", 0, match.start()) + 1,
            language=language,
            text=match[2],
            printed=after[2] if after is not None and is_output else "",
        )


def sessions(page: Path) -> list[tuple[str, list[str]]]:
    """The commands of a page's console examples, in order, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in blocks(page, "console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def own_environ() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    return {name: text for name, text in os.environ.items() if not name.startswith("DISCOVERY_")}


def own_ports() -> Mapping[int, int]:
    """Free ports to stand for the default ones."""
    requests = http = free_ports()
    while http in {requests, requests + 1}:
        http = free_ports()
    return {REQUESTS: requests, EVENTS: requests + 1, HTTP: http}


def moved(text: str, ports: Mapping[int, int]) -> str:
    """`text` with the default ports replaced."""
    return re.sub(r"\b471[0-2]\b", lambda match: str(ports[int(match[0])]), text)


def as_pattern(line: str) -> str:
    """A printed line as a pattern: "…", minted ids and times are anything, columns any width."""
    pattern = re.escape(line.strip()).replace("…", ".*")
    pattern = re.sub(r"generate/[0-9a-f]{6,}", "generate/[0-9a-f]+", pattern)
    pattern = re.sub(r"(\\ ){2,}", r"\\s+", pattern)
    return re.sub(r"20\d\d\\-[\d\\:T.-]+Z", r"20[0-9:T.-]+Z", pattern)


def check_printed(what: str, seen: Sequence[str], expected: Sequence[str]) -> None:
    """Hold what was seen against what a page says; where lines are wrapped does not matter."""
    text = "\n".join(seen)
    lines, wanted = _unwrapped(seen), _unwrapped(expected)
    assert len(lines) == len(wanted), f"{what}\n{text}"
    for line, pattern in zip(lines, map(as_pattern, wanted), strict=True):
        assert re.fullmatch(pattern, line.strip()), f"{what}\n{line}\n{pattern}\n\n{text}"


def _unwrapped(lines: Sequence[str]) -> list[str]:
    """Lines with those that are indented at the end of the one before."""
    whole: list[str] = []
    for line in lines:
        if line.startswith("  ") and whole:
            whole[-1] += f" {line.strip()}"
        else:
            whole.append(line)
    return whole
