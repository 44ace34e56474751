"""A real nats-server on a free loopback port; ended by its pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from tests.support.processes import PATIENCE_S, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PREFIXES = count(1)


class Nats:
    """One server, which can be killed, stopped and started again."""

    def __init__(self, folder: Path, flags: Sequence[str] = ()) -> None:
        self.folder, self.flags = folder, flags
        self.port = free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"nats://{self.endpoint}"

    def own_url(self) -> str:
        """Subjects of one's own in this server."""
        return f"{self.url}?prefix=test.{next(_PREFIXES)}"

    def start(self) -> None:
        with (self.folder / "nats.log").open("ab") as log:
            place = ("--addr", "127.0.0.1", "--port", str(self.port))
            self._process = subprocess.Popen(
                ["/usr/sbin/nats-server", *place, *self.flags], stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._listens():
            assert self._process.poll() is None, (self.folder / "nats.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "nats-server does not come up"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(PATIENCE_S)

    def pause(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def nats_server(folder: Path, *flags: str) -> Iterator[Nats]:
    """Run a nats-server while the block runs."""
    nats = Nats(folder, flags)
    nats.start()
    try:
        yield nats
    finally:
        nats.kill()
