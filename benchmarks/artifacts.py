"""A model's files into the cache, beside `cp` and `sha256sum` of the same files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from figures import Figure
from harness import in_child

from discovery.artifacts.cache import Cache
from discovery.artifacts.local import LocalSource
from discovery.artifacts.manifest import Described

if TYPE_CHECKING:
    from scale import Scale

_FILES = 20
_FILE_BYTES = 107_374_182  # 2 GiB in all
_AIM_TIMES = 1.3
_PIECE_BYTES = 1 << 20


def artifacts(scale: Scale) -> list[Figure]:
    """Install 2 GiB of 20 files; and by turns, copy them with `cp` and hash the copy."""
    ours: list[float] = []
    theirs: list[float] = []
    inspected: list[float] = []
    with tempfile.TemporaryDirectory(prefix="discovery-bench-") as name:
        folder = Path(name)
        _make(folder / "source", scale.of(_FILE_BYTES))
        for _ in range(scale.rounds):
            theirs.append(_copied(folder))
            pull_s, inspect_s = in_child(_pulled, folder)
            ours.append(pull_s)
            inspected.append(inspect_s)
    beside = "cp and sha256sum"
    ratios = [one / two for one, two in zip(ours, theirs, strict=True)]
    return [
        Figure(name="install a model", unit="s", rounds=ours, ceiling=theirs, beside=beside),
        Figure(
            name="install a model, by theirs",
            unit="times",
            rounds=ratios,
            aim=_AIM_TIMES,
            beside=beside,
        ),
        Figure(name="inspect it deep", unit="s", rounds=inspected, beside=beside),
    ]


def _make(folder: Path, size: int) -> None:
    folder.mkdir()
    for number in range(_FILES):
        piece = hashlib.shake_128(b"%d" % number).digest(_PIECE_BYTES)
        with (folder / f"{number:02}.bin").open("wb") as file:
            for _ in range(size // _PIECE_BYTES):
                file.write(piece)
            file.write(piece[: size % _PIECE_BYTES])
    os.sync()


def _copied(folder: Path) -> float:
    """Return the seconds that `cp` and then `sha256sum` take."""
    copy = folder / "copy"
    began = time.perf_counter()
    subprocess.run(["/bin/cp", "-r", folder / "source", copy], check=True)
    files = sorted(copy.iterdir())
    subprocess.run(["/usr/bin/sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
    took_s = time.perf_counter() - began
    shutil.rmtree(copy)
    os.sync()
    return took_s


def _pulled(folder: Path) -> tuple[float, float]:
    """Return the seconds that installing takes, and inspecting what was installed."""
    root = folder / "cache"
    began = time.perf_counter()
    cache = Cache(root)
    cache.pull(Described(name="model", source=""), LocalSource(folder / "source"))
    pulled = time.perf_counter()
    report = cache.inspect("model", is_deep=True)
    assert report.status == "installed", report.detail
    took_s = pulled - began, time.perf_counter() - pulled
    shutil.rmtree(root)
    os.sync()
    return took_s
