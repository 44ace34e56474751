"""discoveryctl demo: shows what it says, notices when it is not so, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.ctl import CTL, at_terminal
from tests.support.processes import PATIENCE_S, script

CLAIMS = [
    "discoveryd starts, and needs nothing else to run",
    "a router is synced even when nothing is registered",
    "the router's view is what the three workers registered",
    "a model that conflicts is refused",
    "the router's view has not changed",
    "the router removes it when its lease has ended, and only it",
    "the router's view stays right, at every look, and is proven anew",
    "no worker was removed, not even for a moment",
    "the router sees both, without waiting for a lease's end",
    "from first to last it never saw the model that was refused",
]


@asynccontextmanager
async def stage():
    """Gives an environment by which processes are found; afterwards there must be none with it."""
    mark = f"DEMO_TEST={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    try:
        yield {name: value}
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(marked, mark):
                await asyncio.sleep(0.05)
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    """Processes that have `mark` in their environment and have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended since, or is another user's
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


async def played(*command: str, env: dict[str, str]) -> tuple[int, list[str]]:
    """Exit code and lines of a demo that ends by itself."""
    process = await start(*command, env=env)
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    return process.returncode, out.decode().splitlines()


async def start(*command: str, env: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | env,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def told(lines: list[str], word: str) -> list[str]:
    """The claims that `word` stands before."""
    start_of = f"   {word}  "
    return [line.removeprefix(start_of) for line in lines if line.startswith(start_of)]


async def test_the_demo_checks_all_its_claims_and_leaves_nothing_behind():
    async with stage() as env:
        code, lines = await played(*CTL, "demo", env=env)
    assert told(lines, "ok") == CLAIMS
    assert code == 0
    assert lines[-1].startswith("All 10 claims are so.")
    assert "\x1b" not in "".join(lines)


async def test_a_claim_that_is_not_so_is_named_and_is_an_error():
    async with stage() as env:
        broken = script("demo", *script("daemon_without_rule"))
        code, lines = await played(*broken, env=env)
    assert told(lines, "ok") == CLAIMS[:3]
    assert told(lines, "NOT SO") == ["a model that conflicts is refused"]
    assert "           llama-3.2-1b was registered beside qwen3-0.6b" in lines
    assert lines[-1] == "This is not so: a model that conflicts is refused."
    assert code == 1


async def test_a_daemon_that_does_not_start_is_told_with_its_own_words():
    async with stage() as env:
        code, lines = await played(*script("demo", sys.executable, "-c", "1/0"), env=env)
    assert code == 1
    assert told(lines, "NOT SO") == ["discoveryd starts, and needs nothing else to run"]
    assert "           it ended with exit code 1" in lines
    assert "   stderr: ZeroDivisionError: division by zero" in lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_demo_that_is_interrupted_ends_what_it_started(number):
    async with stage() as env:
        process = await start(*CTL, "demo", env=env)
        await until(process, "three workers")
        process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            await process.communicate()
    assert process.returncode == 130


async def test_what_a_killed_demo_started_ends_too():
    async with stage() as env:
        process = await start(*CTL, "demo", env=env)
        await until(process, "three workers")
        process.kill()
        await process.communicate()


async def test_claims_are_coloured_at_a_terminal():
    async with stage() as env:
        code, seen = await at_terminal(*CTL, "demo", env=env)
    assert code == 0
    assert f"\x1b[32mok\x1b[0m  {CLAIMS[0]}" in seen


async def until(process: asyncio.subprocess.Process, text: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while line := await process.stdout.readline():
            if text in line.decode():
                return
    raise AssertionError(f"it ended without saying {text!r}")
