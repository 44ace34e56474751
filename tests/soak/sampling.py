"""What a process uses now, as the kernel says it."""

from __future__ import annotations

import os
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at one process; `is_still` when nothing was changing in the fleet."""

    at_s: float
    process: str
    is_still: bool
    memory_bytes: int
    """That is its own (USS): what the machine would get back if it ended."""
    descriptors: int
    threads: int
    cpu_s: float


def sample(pid: int, process: str, at_s: float, *, is_still: bool) -> Sample:
    """Look at a process. Source: proc(5)."""
    place = Path(f"/proc/{pid}")
    rollup = (place / "smaps_rollup").read_text()
    private = re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE)
    stat = (place / "stat").read_text().rsplit(")", 1)[1].split()
    return Sample(
        at_s=round(at_s, 1),
        process=process,
        is_still=is_still,
        memory_bytes=1024 * sum(map(int, private)),
        descriptors=len(list((place / "fd").iterdir())),
        threads=int(stat[17]),
        cpu_s=(int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
    )


def metrics(place: str, start: str) -> dict[str, float]:
    """The metrics whose names begin so, of whoever serves them at a host and port."""
    with urllib.request.urlopen(f"http://{place}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(rf"^{start}(\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}
