"""discoveryctl run: which signals reach the program, when, and how often."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import termios
from contextlib import asynccontextmanager

from tests.cli.supervised import EVERYTHING, added, registry, removed, run, said
from tests.support.processes import program, script


async def test_sigterm_unregisters_first_and_reaches_the_program_once_it_is_drained():
    async with registry() as place:
        async with program(*run(place.url, "--drain-s 600 --ttl 600")) as running:
            pid = (await running.hear())["pid"]
            await added(place)
            running.send_signal(signal.SIGTERM)
            assert await removed(place) == ("unregistered", None)
            os.kill(pid, signal.SIGUSR1)
            assert await running.hear() == {"signal": "SIGUSR1"}  # and no SIGTERM before it
            running.send_signal(signal.SIGTERM)  # again: somebody is in a hurry
            assert await running.hear() == {"signal": "SIGTERM"}
            assert await running.ended() == 0


async def test_sigterm_without_a_drain_ends_the_program():
    async with registry() as place, program(*run(place.url)) as running:
        await running.hear()
        await added(place)
        running.send_signal(signal.SIGTERM)
        assert await removed(place) == ("unregistered", None)
        assert await running.hear() == {"signal": "SIGTERM"}
        assert await running.ended() == 0


async def test_other_signals_are_passed_on_and_change_nothing():
    async with registry() as place, program(*run(place.url)) as running:
        await running.hear()
        identity = (await added(place)).id
        for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
            running.send_signal(signal.Signals[name])
            assert await running.hear() == {"signal": name}
        assert [one.id for one in await place.d.list(EVERYTHING)] == [identity]


async def test_a_program_that_ends_of_a_signal_passed_on_has_not_crashed():
    async with registry() as place:
        command = (*run(place.url)[: -len(script("charge"))], "sleep", "600")
        async with program(*command) as running:
            await added(place)
            running.send_signal(signal.SIGHUP)
            assert await removed(place) == ("unregistered", None)
            assert await running.ended() == 128 + signal.SIGHUP


async def test_a_signal_that_was_ignored_stays_ignored():
    async with registry() as place:
        ignoring = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
        async with program(*ignoring, *run(place.url)) as running:
            await running.hear()
            await added(place)
            running.send_signal(signal.SIGHUP)
            running.send_signal(signal.SIGUSR1)
            assert await running.hear() == {"signal": "SIGUSR1"}


@asynccontextmanager
async def at_a_terminal(*command: str):
    """Run a command as the foreground job of a terminal; gives its process and the keyboard."""
    keyboard, terminal = pty.openpty()

    def take_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = await asyncio.create_subprocess_exec(
        *command, stdin=terminal, stdout=asyncio.subprocess.PIPE, preexec_fn=take_the_terminal
    )
    os.close(terminal)
    try:
        yield process, keyboard
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()
        os.close(keyboard)


async def test_ctrl_c_at_a_terminal_reaches_the_program_once():
    async with registry() as place:
        async with at_a_terminal(*run(place.url)) as (running, keyboard):
            pid = await said(running, "pid")
            await added(place)
            os.write(keyboard, b"\x03")
            assert await said(running, "signal") == "SIGINT"
            assert await removed(place) == ("unregistered", None)
            running.send_signal(signal.SIGUSR1)
            assert await said(running, "signal") == "SIGUSR1"  # and not SIGINT again
            os.kill(pid, signal.SIGTERM)
            assert await said(running, "signal") == "SIGTERM"
            assert await running.wait() == 0


async def test_sigint_from_elsewhere_reaches_the_program_at_a_terminal_too():
    async with registry() as place:
        async with at_a_terminal(*run(place.url)) as (running, _):
            await said(running, "pid")
            running.send_signal(signal.SIGINT)
            assert await said(running, "signal") == "SIGINT"


async def test_the_program_is_told_to_stop_when_run_is_killed():
    async with registry() as place, program(*run(place.url, "--ttl 1")) as running:
        await running.hear()
        await added(place)
        running.send_signal(signal.SIGKILL)
        assert await running.hear() == {"signal": "SIGTERM"}
        assert (await removed(place))[0] == "lease_expired"
