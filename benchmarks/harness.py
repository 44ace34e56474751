"""What the benchmarks share: a daemon of their own as a process, percentiles, and the report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class DaemonProcess:
    """A running discoveryd: its URL and process id."""

    url: str
    pid: int

    def rss_bytes(self) -> int:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Processor time used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_ports() -> int:
    """A port that is free now, and whose successor is too."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@asynccontextmanager
async def daemon(*flags: str) -> AsyncGenerator[DaemonProcess]:
    """Run discoveryd on free loopback ports while the block runs; stopped by its pid."""
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    process = subprocess.Popen(
        [BIN / "discoveryd", "--listen", url, "--http", "off", "--log-level", "warning", *flags]
    )
    try:
        await until_listening(port)
        yield DaemonProcess(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


async def until_listening(port: int) -> None:
    """Wait until somebody accepts connections at a loopback port."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return


def quantile(values: list[float], q: float) -> float:
    """The q-quantile of some values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def report(title: str, rows: list[dict[str, object]]) -> None:
    """Print a table for people and one JSON line for programs."""
    print(f"\n{title}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names] + [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
    for line in cells:
        print("  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)))
    print(json.dumps({"benchmark": title, "rows": rows}))


def _text(value: object) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and value < 100
        else (f"{value:,.0f}" if isinstance(value, float | int) else str(value))
    )
