"""A disk that fills up during an install leaves the old one, and nothing of the new one."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from discovery.artifacts.manifest import Described
from discovery.artifacts.source import Listing, SourceFile
from discovery.errors import InternalError, ResourceExhaustedError, UnavailableError
from tests.discovery.artifacts.places import (
    FILES,
    GivenSource,
    below,
    cache_at,
    installed,
    left_in,
    local,
    pulled,
)

NEW = {"a.bin": b"a" * 100_000, "b.bin": b"b" * 200_000}
FULL = os.strerror(errno.ENOSPC)

AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]
SMALL_DISK = ["unshare", "--mount", *AS_ROOT, "sh", "-c"]
SMALL_DISK += ['mount -t tmpfs -o size=1m none "$0" && exec "$@"']
"""Runs a program that sees a disk of a megabyte in a folder, and nobody else does."""


def may_mount() -> bool:
    """Whether this user may; some machines let nobody, and containers often only their host."""
    command = [*SMALL_DISK, tempfile.gettempdir(), "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def cache(tmp_path):
    """A cache in which an older install of "m" is."""
    cache = cache_at(tmp_path / "cache")
    pulled(cache)
    return cache


def fill(_: str) -> None:
    raise OSError(errno.ENOSPC, FULL, "/some/where")


def pull(cache, source) -> None:
    cache.pull(Described(name="m", source=""), source)


@pytest.mark.parametrize("is_resumable", [False, True])
def test_a_full_disk_leaves_the_old_one_and_nothing_of_what_was_copied(cache, is_resumable):
    with pytest.raises(InternalError, match=f"model m: not installed: {FULL} /some/where"):
        pull(cache, GivenSource(NEW, fill, is_resumable))
    assert installed(cache) == FILES
    assert left_in(cache) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_came_from_afar_before_goes_too_when_the_disk_is_full(cache, number):
    def cut_with(number: int) -> None:
        def cut(path: str) -> None:
            if path == "b.bin":
                raise OSError(number, "cut")

        with pytest.raises(InternalError, match="cut"):
            pull(cache, GivenSource(NEW, cut, is_resumable=True))

    cut_with(errno.EIO)
    assert left_in(cache) == [str(cache.root / ".partial/m")]  # to go on with
    cut_with(number)
    assert left_in(cache) == []
    assert installed(cache) == FILES


def test_a_source_that_needs_more_than_is_free_keeps_what_came_from_afar(cache):
    def cut(path: str) -> None:
        if path == "b.bin":
            raise UnavailableError("cut off")

    source = GivenSource(NEW, cut, is_resumable=True)
    with pytest.raises(UnavailableError):
        pull(cache, source)
    before = below(cache.root / ".partial")
    free = shutil.disk_usage(cache.root).free
    listing = source.list()
    huge = SourceFile(path="b.bin", size_bytes=2 * free)
    source.list = lambda: Listing(files=[listing.files[0], huge])
    with pytest.raises(ResourceExhaustedError, match=r"model m: needs [0-9]+ bytes more, and .* f"):
        pull(cache, source)
    assert below(cache.root / ".partial") == before


def test_a_write_that_the_system_refuses_leaves_the_old_one(cache, tmp_path):
    source, limits = local(tmp_path / "s", NEW), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
    try:
        with pytest.raises(InternalError, match="model m: not installed: File too large"):
            pull(cache, source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert installed(cache) == FILES
    assert left_in(cache) == []
    pull(cache, source)
    assert installed(cache) == NEW


if may_mount():

    async def test_a_disk_that_is_full_at_any_time_leaves_the_old_one(tmp_path):
        name = "tests.discovery.artifacts.full_disk"
        command = [*SMALL_DISK, tmp_path, sys.executable, "-m", name, tmp_path]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=Path(__file__).parents[3], stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
