"""What a process holds: its memory, its threads, and its watches in etcd."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import memory_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_SETTLES_S = 1.0
_LETS_GO_S = 3.0
_WATCHES = re.compile(r"^etcd_debugging_mvcc_watcher_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """What workers in one process took."""

    took_s: float
    bytes: int
    threads: int


class Grown:
    """This process, since this was made."""

    def __init__(self) -> None:
        self._bytes, self._threads = _own_bytes(), _threads()

    async def bytes(self) -> int:
        """Wait a moment, and return the memory that has come since."""
        await asyncio.sleep(_SETTLES_S)
        return _own_bytes() - self._bytes

    async def held(self, took_s: float) -> Held:
        return Held(took_s, await self.bytes(), _threads() - self._threads)


@dataclass
class Left:
    count: float = 0


@asynccontextmanager
async def watches_left(url: str) -> AsyncGenerator[Left]:
    """Count the watches that etcd has of this block's a while after it ended."""
    left, before = Left(), await _watches(url)
    yield left
    gc.collect()
    await asyncio.sleep(_LETS_GO_S)
    left.count = await _watches(url) - before


async def _watches(url: str) -> float:
    return await asyncio.to_thread(_ask_watches, url.replace("etcd://", "http://"))


def _ask_watches(address: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics") as answer:  # noqa: S310 - our own etcd
        found = _WATCHES.search(answer.read().decode())
    assert found
    return float(found[1])


def _own_bytes() -> int:
    gc.collect()
    return memory_bytes(os.getpid())


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
