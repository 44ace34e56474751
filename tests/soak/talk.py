"""How a program of the soak is spoken to: it hears lines on stdin and says JSON lines on stdout."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from tests.support.documents import ROOT
from tests.support.processes import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tests.support.processes import Program

PATIENCE_S = 180.0
"""For whatever needs processor time on a machine that others use too: no verdict on speed."""


async def heard() -> AsyncIterator[list[str]]:
    """The lines that this program is told, in words, until nobody tells it any more."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def say(**what: object) -> None:
    """Tell whoever started this program."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def part(name: str, *arguments: object) -> AbstractAsyncContextManager[Program]:
    """Run a program of this package while the block runs."""
    command = (sys.executable, "-m", f"tests.soak.{name}", *map(str, arguments))
    return program(*command, env={"PYTHONPATH": str(ROOT)})


async def answer(running: Program) -> dict:
    """The next line a program says."""
    async with asyncio.timeout(PATIENCE_S):
        line = await running.process.stdout.readline()
    assert line, f"a program of the soak ended, exit code {await running.process.wait()}"
    return json.loads(line)
