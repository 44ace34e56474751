"""The README's walk, with its own commands and lines; ids and times differ each time."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, as_pattern
from tests.support.processes import daemon, program

README = (ROOT / "README.md").read_text()
PORT = 4710  # the walk's own; whoever has it is told so by the daemon's error


def printed(start: str) -> str:
    """The pattern of the README's line that starts so."""
    (line,) = [line for line in README.splitlines() if line.strip().startswith(start)]
    return as_pattern(line)


def command(start: str) -> list[str]:
    """The words of the README's command that starts so, with this environment's interpreter."""
    found = [line.strip() for line in README.splitlines() if line.strip().startswith(f"$ {start}")]
    words = found[0].removeprefix("$ ").split()
    return [str(Path(sys.executable).parent / Path(words[0]).name), *words[1:]]


async def next_line(running) -> str:
    return (await running.process.stdout.readline()).decode().strip()


async def test_the_walk_prints_what_the_readme_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    worker_command = command(".venv/bin/python examples/worker.py examples/models/qwen3")
    async with (
        daemon(PORT),
        program(*command(".venv/bin/python examples/router.py")) as router,
    ):
        assert re.fullmatch(printed("synced:"), await next_line(router))
        async with program(*worker_command) as worker:
            for line in ("registered endpoints/", "registered models/"):
                assert re.fullmatch(printed(line), await next_line(worker))
            assert re.fullmatch(printed("+ models/"), await next_line(router))
            rival = await run(command(".venv/bin/python examples/worker.py examples/models/llama"))
            assert re.fullmatch(printed("worker: Cannot register"), rival.strip())
            table = (await run(command(".venv/bin/discoveryctl"))).splitlines()
            assert re.fullmatch(printed("ID  "), table[0])
            assert re.fullmatch(printed("models/prod"), table[1])
            worker.send_signal(signal.SIGINT)
            assert re.fullmatch(printed("- models/"), await next_line(router))
            assert await worker.ended() == 0


async def run(words: list[str]) -> str:
    """What a command prints, errors included."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return out.decode()


@pytest.mark.parametrize("name", re.findall(r"`((?:examples|config|docs)/[a-z_/.-]+)`", README))
def test_the_files_named_in_the_readme_exist(name):
    assert (ROOT / name).exists()
