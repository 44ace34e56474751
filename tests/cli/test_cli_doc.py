"""docs/cli.md is true: its commands are run at a terminal, its tables compared with the code."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack

from discovery.cli.app import COMMANDS
from discovery.cli.exits import MEANINGS
from tests.cli.ctl import ctl
from tests.docs.sessions import HELD, session, shown_at_once
from tests.support.documents import REQUESTS, ROOT, own_ports, sessions
from tests.support.processes import daemon

PAGE = ROOT / "docs" / "cli.md"
DOC = PAGE.read_text()


async def test_every_example_prints_what_is_printed_here():
    # What stays comes first; the endpoint before who watches it.
    story = sessions(PAGE)
    story.sort(key=lambda it: ("register endpoint" not in it[0], not HELD.match(it[0])))
    ports = own_ports()
    async with daemon(ports[REQUESTS]), session(ports) as typing:
        for command, printed in story:
            await typing.type(command, printed)


async def test_every_line_has_the_fields_that_are_promised(tmp_path, monkeypatch):
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_ROOT", str(tmp_path))
    monkeypatch.chdir(ROOT)
    rows = re.findall(
        r"^\| `([a-z]+ ?[^`]*)` \| (.*`.*) \|$", DOC.split("fields of a line")[1], re.MULTILINE
    )
    fields = {command: set(re.findall(r"`(\w+)`", text)) - {"get"} for command, text in rows}
    assert len(fields) == 17
    fields["wait models/prod"] |= fields["get models"]
    fields["describe endpoints/prod/vllm/generate/1a2b"] |= fields["get endpoints"]
    ports = own_ports()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(daemon(ports[REQUESTS]))
        typing = await stack.enter_async_context(session(ports))
        for command, printed in sessions(PAGE):
            if HELD.match(command):  # what comes later is not done here
                await typing.type(command, printed[: shown_at_once(command)])
        for command, names in fields.items():
            code, out, err = await ctl(f"zmq://127.0.0.1:{ports[REQUESTS]}", *command.split())
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
