"""The machine that the figures are of, and what else it was busy with."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDLE_COLUMNS = (3, 4)  # idle and waiting for disks, of the first line of /proc/stat


def describe() -> Mapping[str, object]:
    """Return the machine and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
        "python": platform.python_version(),
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        "etcd": _version("etcd", "--version"),
        "nats": _version("/usr/sbin/nats-server", "--version"),
        "peer": metadata.version("ai-dynamo-runtime"),
    }


def _version(*command: str) -> str:
    """Return the first version number that a program says."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"\d+(?:\.\d+)+", said)[0]


class Usage:
    """Processor time since this was made."""

    def __init__(self) -> None:
        self._began, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def of_others(self) -> float:
        """Return how many cores were kept busy by what is not of this program."""
        busy_s, own_s = _busy_s() - self._busy_s, _own_s() - self._own_s
        return max(0.0, busy_s - own_s) / (time.monotonic() - self._began)


def _busy_s() -> float:
    columns = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    busy = sum(int(ticks) for n, ticks in enumerate(columns) if n not in _IDLE_COLUMNS)
    return busy / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Return what this process and its children that have ended used."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
