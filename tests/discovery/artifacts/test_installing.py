"""What is delivered becomes what is installed, all at once; or nothing changes."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from discovery.artifacts.manifest import Described, ManifestFile
from discovery.artifacts.stopping import Progress, Stop, StoppedError
from discovery.errors import FailedPreconditionError, InternalError, UnavailableError
from tests.discovery.artifacts.places import (
    FILES,
    THEN,
    GivenSource,
    below,
    cache_at,
    installed,
    left_in,
    pulled,
    sha256,
)

NEW = {"config.json": b"[]", "new/three.bin": b"3" * 2500}


@pytest.fixture
def cache(tmp_path):
    """A cache in which an older install of "m" is."""
    cache = cache_at(tmp_path / "cache")
    pulled(cache, files=FILES)
    return cache


def failed(cache, source, error: type[Exception], told: str, **how) -> None:
    """A pull fails, what was there before is there still, and nothing else."""
    before = cache.inspect("m")
    with pytest.raises(error, match=told):
        cache.pull(Described(name="m", source=""), source, **how)
    assert installed(cache) == FILES
    assert cache.inspect("m") == before
    assert [path for path in left_in(cache) if ".partial" not in path] == []


# ---- whole


def test_the_manifest_says_what_was_installed(cache):
    source = GivenSource(NEW, revision="c0ffee", url="hf://org/m")
    described = Described(name="m", source="", task="generate", engine="vllm", dimensions=7)
    manifest = cache.pull(described, source)
    assert manifest.files == [
        ManifestFile(path=path, sha256=sha256(data), size_bytes=len(data))
        for path, data in sorted(NEW.items())
    ]
    assert manifest.total_size_bytes == 2502
    assert (manifest.source, manifest.revision) == ("hf://org/m", "c0ffee")
    assert (manifest.task, manifest.engine, manifest.dimensions) == ("generate", "vllm", 7)
    assert manifest.installed_at_unix_ms > THEN
    assert json.loads((cache.root / "m/manifest.json").read_bytes()) == manifest.to_wire()


def test_a_new_install_takes_the_place_of_the_old_one_and_nothing_is_left(cache):
    pulled(cache, files=NEW)
    assert installed(cache) == NEW
    assert left_in(cache) == []
    assert set(below(cache.root / "m")) == {*NEW, "manifest.json"}


def test_files_are_in_the_order_of_their_paths_however_many_are_copied_at_once(cache):
    files = {f"{n % 7}/{n:02}": bytes([n]) * n * 100 for n in range(40)}
    manifest = pulled(cache, files=files)
    assert [file.path for file in manifest.files] == sorted(files)
    assert installed(cache) == files


def test_a_file_may_be_empty(cache):
    pulled(cache, files={"empty": b""})
    assert installed(cache) == {"empty": b""}


def test_progress_tells_how_far_it_has_got(cache):
    progress, steps = Progress(), []
    source = GivenSource(NEW, lambda _: steps.append((progress.step, progress.files)))
    cache.pull(Described(name="m", source=""), source, progress=progress)
    assert set(steps) == {("copying", 2)}
    assert (progress.step, progress.files_done, progress.resumed_bytes) == ("done", 2, 0)
    assert progress.done_bytes == progress.total_bytes == 2502


def test_nothing_is_installed_before_all_of_it_is_here(cache):
    seen = []
    source = GivenSource(NEW, lambda _: seen.append(installed(cache) == FILES))
    cache.pull(Described(name="m", source=""), source)
    assert all(seen)


# ---- failing


@pytest.mark.parametrize("is_resumable", [False, True])
def test_a_source_that_fails_changes_nothing(cache, is_resumable):
    def fail(path: str) -> None:
        if path == "new/three.bin":
            raise UnavailableError("gone")

    failed(cache, GivenSource(NEW, fail, is_resumable), UnavailableError, "gone")


def test_a_disk_that_fails_changes_nothing(cache):
    def fail(_: str) -> None:
        raise OSError(5, "Input/output error", "/some/where")

    told = "model m: not installed: Input/output error /some/where"
    failed(cache, GivenSource(NEW, fail), InternalError, told)


def test_one_file_that_fails_ends_the_others_and_is_what_is_told(cache):
    has_failed, pieces = threading.Event(), []

    def fail(path: str) -> None:
        if path == "a":
            has_failed.set()
            raise UnavailableError("a is gone")
        assert has_failed.wait(10)
        pieces.append(path)

    files = {"a": b"x", **{f"b{n}": b"x" * 100_000 for n in range(8)}}
    failed(cache, GivenSource(files, fail, piece_bytes=1), UnavailableError, "a is gone")
    assert len(pieces) < 800_000


@pytest.mark.parametrize("data", [b"", b"x" * 2499, b"x" * 2501])
def test_a_file_of_another_size_than_was_said_changes_nothing(cache, data):
    source = GivenSource(NEW)
    listing = source.list()
    source.list = lambda: listing
    source.files = {**NEW, "new/three.bin": data}
    told = f"new/three.bin has {len(data)} bytes, expected 2500: it has changed meanwhile"
    failed(cache, source, UnavailableError, told)


@pytest.mark.parametrize("is_resumable", [False, True])
def test_a_file_of_another_hash_than_its_source_says_changes_nothing(cache, is_resumable):
    source = GivenSource(NEW, is_resumable=is_resumable, sha256={"config.json": "0" * 64})
    told = f"config.json has sha256 {sha256(b'[]')}, expected 0000"
    failed(cache, source, InternalError, told)


def test_who_is_told_to_stop_changes_nothing(cache):
    stop = Stop()
    failed(cache, GivenSource(NEW, lambda _: stop.set()), StoppedError, "^$", stop=stop)


def test_who_is_told_to_stop_when_all_is_copied_changes_nothing(cache):
    stop = Stop()
    source = GivenSource({"f": b"x"}, piece_bytes=1)
    read = source.read

    def read_and_stop(*which):
        yield from read(*which)
        stop.set()

    source.read = read_and_stop
    failed(cache, source, StoppedError, "^$", stop=stop)


def test_who_has_lost_the_lock_changes_nothing(cache):
    def take_over(_: str) -> None:
        with suppress(FileNotFoundError):  # another thread, at another file, has done it
            for path in (cache.root / ".locks/m").iterdir():
                path.rename(path.with_name("1000"))

    failed(cache, GivenSource(NEW, take_over), FailedPreconditionError, "lock m: lost")


# ---- renames that fail


def renames_that_fail(monkeypatch, *which: str) -> None:
    """Let renames from these folders of the cache fail, once each."""
    rename, left = Path.rename, list(which)

    def renamed(path: Path, to: Path) -> Path:
        if path.parent.name in left:
            left.remove(path.parent.name)
            raise OSError(18, "Invalid cross-device link", str(path))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", renamed)


def test_a_promotion_that_fails_puts_the_old_one_back(cache, monkeypatch):
    renames_that_fail(monkeypatch, ".staging")
    failed(cache, GivenSource(NEW), InternalError, "model m: not installed: Invalid cross-device")


def test_a_first_promotion_that_fails_leaves_nothing(tmp_path, monkeypatch):
    cache = cache_at(tmp_path)
    renames_that_fail(monkeypatch, ".staging")
    with pytest.raises(InternalError, match="Invalid cross-device"):
        pulled(cache)
    assert cache.inspect("m").status == "missing"
    assert left_in(cache) == []


def test_an_old_one_that_cannot_be_moved_aside_stays(cache, monkeypatch):
    renames_that_fail(monkeypatch, "cache")
    failed(cache, GivenSource(NEW), InternalError, "Invalid cross-device")


def test_an_old_one_that_could_not_be_put_back_comes_back_later(cache, monkeypatch):
    renames_that_fail(monkeypatch, ".staging", ".purge")
    with pytest.raises(InternalError, match="Invalid cross-device"):
        pulled(cache, files=NEW)
    assert cache.inspect("m").status == "missing"
    assert installed(cache_at(cache.root)) == FILES
    assert left_in(cache) == []


def test_staging_on_another_disk_fails_and_changes_nothing(cache):
    shm = Path(f"/dev/shm/{os.getpid()}-{cache.root.parent.name}")  # noqa: S108 - a disk of its own
    shm.mkdir()
    try:
        (cache.root / ".staging").rmdir()
        (cache.root / ".staging").symlink_to(shm)
        failed(cache, GivenSource(NEW), InternalError, "model m: not installed: Invalid cross-dev")
    finally:
        shutil.rmtree(shm)


def test_a_stamp_that_cannot_be_written_fails_nothing_and_is_mended_later(cache, caplog):
    (cache.root / ".stamps/m.json.tmp").mkdir()
    pulled(cache, files=NEW)
    assert installed(cache) == NEW
    assert [record.message for record in caplog.records] == ["not stamped"]
    manifest = cache.inspect("m").manifest
    assert cache.inspect("m").stamp["installed_at_unix_ms"] != manifest.installed_at_unix_ms
    (cache.root / ".stamps/m.json.tmp").rmdir()
    stamp = cache_at(cache.root).inspect("m").stamp
    assert stamp["installed_at_unix_ms"] == manifest.installed_at_unix_ms


# ---- dropping


def test_what_is_dropped_is_gone_and_nothing_is_left(cache):
    assert cache.drop("m")
    assert cache.inspect("m").status == "missing"
    assert left_in(cache) == []
    assert not cache.drop("m")


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, lambda path: path.symlink_to("/etc")])
def test_what_is_no_folder_is_dropped_too(cache, make):
    make(cache.root / "n")
    assert cache.inspect("n").detail == "it is not a folder"
    assert cache.drop("n")
    assert cache.inspect("n").status == "missing"
    assert left_in(cache) == []
    assert Path("/etc/passwd").exists()


def test_a_drop_that_fails_leaves_what_was_there(cache, monkeypatch):
    renames_that_fail(monkeypatch, "cache")
    with pytest.raises(InternalError, match="model m: not dropped: Invalid cross-device"):
        cache.drop("m")
    assert installed(cache) == FILES
    assert cache.drop("m")
