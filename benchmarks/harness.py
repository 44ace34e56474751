"""What all benchmarks share: a daemon as a process, other processes, percentiles."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

SPAWN = multiprocessing.get_context("spawn")
_PORTS = range(24_000, 32_000, 2)
"""Below those that Linux gives to connections."""


@dataclass(frozen=True)
class DaemonProcess:
    """A running discoveryd: the port of its requests, and its process id."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"zmq://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """Processor time used so far, user and system, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        return memory_bytes(self.pid)


@contextmanager
def daemon(*flags: str) -> Iterator[DaemonProcess]:
    """Run discoveryd on free loopback ports while the block runs; stopped by its pid."""
    port = _free_ports()
    command = [sys.executable, "-m", "discovery.daemon", "--listen", f"zmq://127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "--http", "off", "--log-level", "warning", *flags])
    try:
        while not _is_listening(port):
            if process.poll() is not None:
                raise RuntimeError(f"discoveryd ended with {process.returncode}")
            time.sleep(0.02)
        yield DaemonProcess(port, process.pid)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def etcd() -> Iterator[str]:
    """Run an etcd of its own on free loopback ports while the block runs; give its store URL."""
    port = _free_ports()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                *("etcd", "--data-dir", folder, "--log-level", "error"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            while not _is_listening(port):
                if process.poll() is not None:
                    raise RuntimeError(f"etcd ended with {process.returncode}")
                time.sleep(0.02)
            yield f"etcd://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@contextmanager
def nats() -> Iterator[str]:
    """Run a nats-server of its own on a free loopback port while the block runs; give its URL."""
    port = _free_ports()
    command = ["/usr/sbin/nats-server", "--addr", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not _is_listening(port):
            if process.poll() is not None:
                raise RuntimeError(f"nats-server ended with {process.returncode}")
            time.sleep(0.02)
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def in_child(function: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - whatever it returns
    """Run `function(*args)` in a process of its own, and return what it returns."""
    with child(_tell, function, *args) as pipe:
        return pipe.recv()


@contextmanager
def child(function: Callable[..., None], *args: object) -> Iterator[Connection]:
    """Run `function(pipe, *args)` in a process of its own, which ends with the block."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=function, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()  # so that its end shows here as EOFError
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()


def memory_bytes(pid: int) -> int:
    """Memory that is a process's own (USS): what the machine would get back if it ended."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = [line.split()[1] for line in lines if line.startswith("Private_")]
    return 1024 * sum(map(int, private))


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile of some values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def _tell(pipe: Connection, function: Callable[..., object], *args: object) -> None:
    pipe.send(function(*args))


def _free_ports() -> int:
    """A port that is free now, and whose successor is too; connections going out get none such."""
    while True:
        port = random.choice(_PORTS)
        try:
            with socket.socket() as one, socket.socket() as two:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
        except OSError:
            continue
        return port


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
