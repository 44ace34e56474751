"""docs/cli.md is true: its commands are run at a terminal, its tables compared with the code."""

from __future__ import annotations

import json
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from discovery.cli.app import COMMANDS
from discovery.cli.exits import MEANINGS
from tests.cli.ctl import ctl
from tests.cli.terminal import Terminal
from tests.support.processes import daemon

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "cli.md").read_text()
PORT = 4710  # the default, as in the examples
URL = f"zmq://127.0.0.1:{PORT}"
HELD = re.compile(r"register endpoint|register channel|watch ")


def examples() -> list[tuple[str, list[str]]]:
    """The commands of the examples, in order, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", DOC, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def as_pattern(line: str) -> str:
    """A printed line as a pattern: "…" and times are anything, columns as wide as they are."""
    pattern = re.escape(line.strip()).replace("…", ".*")
    pattern = re.sub(r"(\\ ){2,}", r"\\s+", pattern)
    return re.sub(r"20\d\d\\-[\d\\:T-]+Z", r"20[0-9:T-]+Z", pattern)


def check(command: str, seen: str, expected: list[str]) -> None:
    lines = seen.splitlines()
    assert len(lines) == len(expected), f"{command}\n{seen}"
    for line, wanted in zip(lines, expected, strict=True):
        assert re.fullmatch(as_pattern(wanted), line.strip()), f"{command}\n{line}\n{wanted}"


async def typed(command: str) -> Terminal:
    """Run a command of this environment in the project's folder, at a terminal."""
    name, *words = command.split()
    own = str(Path(sys.executable).with_name(name))
    return await Terminal.run(own, *words, cwd=ROOT, env={"NO_COLOR": "1"})


async def test_every_example_prints_what_is_printed_here(monkeypatch):
    monkeypatch.delenv("DISCOVERY_URL", raising=False)
    story = examples()
    # What stays comes first; the endpoint before who watches it.
    story.sort(key=lambda it: ("register endpoint" not in it[0], not HELD.search(it[0])))
    held: list[tuple[Terminal, str, list[str]]] = []
    code = None
    async with daemon(PORT), AsyncExitStack() as stack:
        for command, expected in story:
            if command == "echo $?":
                assert expected == [str(code)]
                continue
            terminal = await typed(command)
            stack.push_async_callback(terminal.end)
            if HELD.search(command):
                is_watch = "watch" in command
                await terminal.seen(2 if is_watch else len(expected))
                held.append((terminal, command, expected))
            else:
                check(command, await terminal.seen(), expected)
                code = await terminal.ended()
        for terminal, command, expected in held:
            seen = await terminal.seen(len(expected))
            check(command, "\n".join(seen.splitlines()[: len(expected)]), expected)


async def test_every_line_has_the_fields_that_are_promised():
    rows = re.findall(
        r"^\| `([a-z]+ ?[^`]*)` \| (.*`.*) \|$", DOC.split("fields of a line")[1], re.MULTILINE
    )
    fields = {command: set(re.findall(r"`(\w+)`", text)) - {"get"} for command, text in rows}
    assert len(fields) == 11
    fields["wait models/prod"] |= fields["get models"]
    fields["describe endpoints/prod/vllm/generate/1a2b"] |= fields["get endpoints"]
    async with daemon(PORT), AsyncExitStack() as stack:
        for command, expected in examples():
            if HELD.search(command):
                terminal = await typed(command)
                stack.push_async_callback(terminal.end)
                await terminal.seen(2 if "watch" in command else len(expected))
        for command, names in fields.items():
            code, out, err = await ctl(URL, *command.split())
            assert (code, err) == (0, ""), command
            lines = [json.loads(line) for line in out.splitlines()]
            assert lines, command
            assert all(names <= set(line) for line in lines), (command, names, lines)


def test_every_command_is_listed():
    assert re.findall(r"^\| `([a-z]+)\b[^`]*` \|", DOC.split("KIND is")[0], re.MULTILINE) == list(
        COMMANDS
    )


def test_the_exit_codes_are_those_of_the_code():
    table = re.findall(r"^\| (\d+) \| ([^|]+) \|", DOC, re.MULTILINE)
    assert table == [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]
