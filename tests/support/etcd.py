"""A real etcd on free loopback ports, with its data in a folder of the test's; ended by its pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import etcd3

from tests.support.processes import PATIENCE_S, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIXES = count(1)


class Etcd:
    """One member, which can be killed, stopped, emptied and restored.

    Its shortest TTL is a second: that is one and a half times its election timeout, rounded up.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports()
        self._peer_port = self.port + 1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"etcd://{self.endpoint}"

    def own_url(self) -> str:
        """A registry of its own in this etcd."""
        return f"{self.url}?prefix=test{next(_PREFIXES)}/"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @cached_property
    def witness(self) -> etcd3.Client:
        """Another client than ours, so that our understanding is not checked by itself only."""
        return etcd3.Client("127.0.0.1", self.port)

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self._peer_port}"
        with (self.folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("etcd", "--name", "one", "--data-dir", self._data),
                    *("--listen-client-urls", f"http://{self.endpoint}"),
                    *("--advertise-client-urls", f"http://{self.endpoint}"),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", f"one={peer}", "--heartbeat-interval", "50"),
                    *("--election-timeout", "500"),
                ],
                stdout=log,
                stderr=log,
            )
        self._wait_until_up()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Forget everything; only while it is not running."""
        shutil.rmtree(self._data)

    def back_up(self) -> Path:
        """Write a snapshot of all it holds."""
        backup = self.folder / "backup.db"
        self.ctl("snapshot", "save", str(backup))
        return backup

    def restore(self, backup: Path) -> None:
        """Begin from a snapshot; only while it is not running. Ids stay, revisions go back."""
        shutil.rmtree(self._data)
        peer = f"http://127.0.0.1:{self._peer_port}"
        self.ctl(
            *("snapshot", "restore", str(backup), "--name", "one", "--data-dir", str(self._data)),
            *("--initial-cluster", f"one={peer}", "--initial-advertise-peer-urls", peer),
        )

    def compact(self) -> None:
        """Forget all history."""
        status = self.ctl("endpoint", "status", "--write-out", "fields")
        (revision,) = [
            line.split()[-1] for line in status.splitlines() if line.startswith('"Revision"')
        ]
        self.ctl("compact", revision)

    def ctl(self, *command: str) -> str:
        done = subprocess.run(
            ["etcdctl", "--endpoints", self.endpoint, *command],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(PATIENCE_S)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "etcd.log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"http://{self.endpoint}/health", timeout=1) as answer:
                    if json.load(answer)["health"] == "true":
                        return
            except OSError:  # also its refusals
                pass
            time.sleep(0.02)
        raise AssertionError("etcd does not come up")


@contextmanager
def etcd_server(folder: Path) -> Iterator[Etcd]:
    """Run an etcd while the block runs."""
    etcd = Etcd(folder)
    etcd.start()
    try:
        yield etcd
    finally:
        if "witness" in etcd.__dict__:
            etcd.witness.close()
        etcd.kill()
