"""What a child process does between fork and exec, so that it does not outlive us unnoticed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def lifeline(blocked: Iterable[int] = ()) -> Callable[[], None]:
    """Return the `preexec_fn` of a child that gets SIGTERM when this process dies, however it dies.

    Call it, and start the child, on the main thread: Linux sends the signal when the thread that
    forked ends. Elsewhere than on Linux an orphan lives on.

    Args:
        blocked: signals that this process blocks and the child shall get.
    """
    parent, unblocked = os.getpid(), frozenset(blocked)
    # Looked up before the fork: a child may do little before it execs.
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, unblocked)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died before it could be asked for
            signal.raise_signal(signal.SIGTERM)

    return prepare
