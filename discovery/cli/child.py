"""The program that `discoveryctl run` looks after: started, told, waited for.

It stays in our process group. So Ctrl-C and Ctrl-Z at a terminal reach it as if it had been started
without us, and what else is sent to us is passed on, once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from discovery.cli.lifeline import lifeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_KEYS = (signal.SIGINT, signal.SIGQUIT)


class Child:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def send(self, number: int) -> None:
        """Send it a signal; one that has ended gets none."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; return its exit status, or -N when signal N ended it."""
        return await self._process.wait()


class Signals:
    """The signals meant for the program. Made first of all, on the main thread.

    They are blocked and waited for, not handled: only so the kernel says whether a signal comes
    from the terminal, which has then sent it to the program as well. One that is ignored, as
    SIGHUP under nohup, stays so, for the program too.
    """

    def __init__(self) -> None:
        self.numbers = [n for n in _PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
        signal.pthread_sigmask(signal.SIG_BLOCK, self.numbers)

    def listen(self, on_signal: Callable[[int, bool], None]) -> None:
        """From now on call `on_signal` on this loop with number and "the terminal sent it"."""
        thread = threading.Thread(
            target=self._listen,
            args=(asyncio.get_running_loop(), on_signal),
            name="signals",
            daemon=True,
        )
        thread.start()

    def _listen(
        self, loop: asyncio.AbstractEventLoop, on_signal: Callable[[int, bool], None]
    ) -> None:
        while True:
            number, is_from_terminal = _next(self.numbers)
            with suppress(RuntimeError):  # the loop has ended, and the program before it
                loop.call_soon_threadsafe(on_signal, number, is_from_terminal)


async def start(command: Sequence[str], signals: Signals) -> Child:
    """Start a program. Raises `OSError` when there is none of that name, or it may not be run."""
    return Child(
        await asyncio.create_subprocess_exec(*command, preexec_fn=lifeline(signals.numbers))
    )


def _next(numbers: Sequence[int]) -> tuple[int, bool]:
    """Wait for a signal; return it, and whether a key at the terminal sent it to both of us."""
    if sys.platform == "darwin":  # cannot tell: no sigwaitinfo
        number = signal.sigwait(numbers)
        return number, number in _KEYS
    info = signal.sigwaitinfo(numbers)
    return info.si_signo, info.si_signo in _KEYS and info.si_code > 0  # sigaction(2): the kernel
