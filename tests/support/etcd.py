"""A real etcd on free loopback ports, with its data in a folder of the test's; ended by its pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
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
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PREFIXES = count(1)


class Etcd:
    """One member, which can be killed, stopped, emptied and restored.

    Its shortest TTL is a second: that is one and a half times its election timeout, rounded up.
    """

    def __init__(self, folder: Path, name: str = "one", flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = free_ports()
        self.name, self.flags = name, flags
        self.scheme = "https" if "--cert-file" in flags else "http"
        self.peer = f"http://127.0.0.1:{self.port + 1}"
        self.cluster = f"{name}={self.peer}"
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
        self.launch()
        self.wait_until_up()

    def launch(self) -> None:
        """Start it, and do not wait until it serves: one of several needs the others for that."""
        url = f"{self.scheme}://{self.endpoint}"
        with (self.folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("etcd", "--name", self.name, "--data-dir", self._data),
                    *("--listen-client-urls", url, "--advertise-client-urls", url),
                    *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
                    *("--initial-cluster", self.cluster, "--heartbeat-interval", "50"),
                    *("--election-timeout", "500", *self.flags),
                ],
                stdout=log,
                stderr=log,
            )

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
        self.ctl(
            *("snapshot", "restore", str(backup), "--name", self.name),
            *("--data-dir", str(self._data), "--initial-cluster", self.cluster),
            *("--initial-advertise-peer-urls", self.peer),
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

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "etcd.log").read_text()[-2000:]
            if self._is_healthy():
                return
            time.sleep(0.02)
        raise AssertionError("etcd does not come up")

    def _is_healthy(self) -> bool:
        if self.scheme == "https":
            with socket.socket() as probe:  # its certificates are the test's business
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/health", timeout=1) as answer:
                return json.load(answer)["health"] == "true"
        except OSError:  # also its refusals
            return False


@contextmanager
def etcd_cluster(folder: Path) -> Iterator[list[Etcd]]:
    """Run three members while the block runs."""
    members = [Etcd(folder / name, name) for name in ("one", "two", "three")]
    cluster = ",".join(member.cluster for member in members)
    try:
        for member in members:
            member.folder.mkdir()
            member.cluster = cluster
            member.launch()
        for member in members:
            member.wait_until_up()
        yield members
    finally:
        for member in members:
            member.kill()


@contextmanager
def etcd_server(folder: Path, *flags: str) -> Iterator[Etcd]:
    """Run an etcd while the block runs; with a certificate among the flags, over TLS."""
    etcd = Etcd(folder, flags=flags)
    etcd.start()
    try:
        yield etcd
    finally:
        if "witness" in etcd.__dict__:
            etcd.witness.close()
        etcd.kill()
