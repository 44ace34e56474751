"""Every Python program in the documentation runs, and prints what stands below it."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import pytest

from tests.support.documents import (
    PAGES,
    REQUESTS,
    ROOT,
    blocks,
    check_printed,
    moved,
    own_environ,
    own_ports,
)
from tests.support.processes import PATIENCE_S, daemon

BUSY = "stood still, recovering"
"""What a registry in the process says when the machine gave it no CPU for a second."""

PROGRAMS = [block for page in PAGES for block in blocks(page, "python")]


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
async def test_a_program_prints_what_is_printed_below_it(block, tmp_path):
    ports = own_ports()
    expected = moved(block.printed, ports).splitlines()
    file = tmp_path / "program.py"
    file.write_text(moved(block.text, ports))
    async with AsyncExitStack() as stack:
        if f":{REQUESTS}" in block.text:
            await stack.enter_async_context(daemon(ports[REQUESTS]))
        # One that says that it stops when told to is told so, once it has printed all.
        waits = "signal.SIGTERM" in block.text
        seen, code = await _run(str(file), tell_after=len(expected) if waits else None)
    check_printed(str(block), seen, expected)
    assert code == 0


async def _run(file: str, *, tell_after: int | None) -> tuple[list[str], int]:
    """What a program prints, errors included, and its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        file,
        cwd=ROOT,
        env=own_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    seen: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while line := await process.stdout.readline():
                text = line.decode().rstrip("\n")
                if text == BUSY:
                    continue
                seen.append(text)
                if len(seen) == tell_after:
                    process.send_signal(signal.SIGTERM)
            return seen, await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()
