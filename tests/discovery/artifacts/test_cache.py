"""The cache of a node: pull, inspect, drop, list, stamps, and its root; spec/models.md §3."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from discovery.artifacts.cache import Cache
from discovery.artifacts.lock import locked
from discovery.artifacts.manifest import Described
from discovery.artifacts.source import Listing, SourceFile
from discovery.artifacts.stopping import Progress, Stop, StoppedError
from discovery.errors import InternalError, InvalidArgumentError, ResourceExhaustedError
from tests.discovery.artifacts.places import (
    FILES,
    THEN,
    GivenSource,
    cache_at,
    installed,
    left_in,
    local,
    pulled,
    sized,
)

if TYPE_CHECKING:
    from discovery.artifacts.report import CacheStatus

SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def cache(tmp_path):
    return cache_at(tmp_path / "cache")


# ---- root


def test_the_root_is_made_with_the_folders_above_it(tmp_path):
    cache = Cache(tmp_path / "a/b/c")
    assert cache.root == (tmp_path / "a/b/c").resolve()
    assert cache.root.is_dir()


def test_a_root_that_is_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert Cache(tmp_path / "link").root == (tmp_path / "there").resolve()


@pytest.mark.parametrize("root", ["file", "file/below", "dangling"])
def test_a_root_that_is_a_file_is_refused(tmp_path, root):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(InvalidArgumentError, match=f"cache root '.*/{root}': expected a folder"):
        Cache(tmp_path / root)


def test_a_root_that_cannot_be_made_is_an_internal_error(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InternalError, match=r"cache root .*/loop/x: Too many levels"):
        Cache(tmp_path / "loop/x")


# ---- names


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", ".staging", "a" * 201])
def test_what_is_no_name_is_refused_by_every_operation(cache, name):
    for ask in (cache.inspect, cache.drop, lambda n: pulled(cache, n), lambda n: used(cache, n)):
        with pytest.raises(InvalidArgumentError, match="cache entry"):
            ask(name)
    assert cache.list() == []


def used(cache, name: str) -> CacheStatus:
    with cache.used(name) as report:
        return report.status


def test_names_are_trimmed(cache):
    assert pulled(cache, " m ").name == "m"
    assert cache.inspect("m\n").name == "m"
    assert used(cache, "\tm") == "installed"
    assert cache.drop(" m")


# ---- pulling


def test_what_was_pulled_is_there(cache, tmp_path):
    manifest = cache.pull(Described(name="m", source=""), local(tmp_path / "s"))
    report = cache.inspect("m")
    assert (report.name, report.path, report.manifest) == ("m", cache.root / "m", manifest)
    assert manifest.source == f"file://{tmp_path}/s"
    assert installed(cache) == FILES


def test_an_entry_may_be_its_own_source(cache):
    pulled(cache)
    cache.pull(Described(name="m", source=""), local(cache.root / "m", {"more": b"m"}))
    assert installed(cache) == {**FILES, "more": b"m"}


def test_what_is_installed_is_kept_if_no_more_is_wanted(cache):
    manifest = pulled(cache)
    reports = []

    def is_wanted(report) -> bool:
        reports.append(report)
        return False

    assert pulled(cache, files={"new": b""}, is_wanted=is_wanted) == manifest
    assert [report.status for report in reports] == ["installed"]
    assert installed(cache) == FILES
    pulled(cache, files={"new": b""}, is_wanted=lambda _: True)
    assert installed(cache) == {"new": b""}


@pytest.mark.parametrize("is_unhealthy", [False, True])
def test_what_is_not_whole_is_pulled_whatever_is_wanted(cache, is_unhealthy):
    if is_unhealthy:
        pulled(cache)
        (cache.root / "m/config.json").unlink()
    pulled(cache, is_wanted=lambda _: False)
    assert installed(cache) == FILES


def test_of_two_who_pull_at_once_one_does_and_the_other_finds_it(cache):
    begun, go_on, progress = threading.Event(), threading.Event(), Progress()

    def first(_: str) -> None:
        begun.set()
        assert go_on.wait(10)

    def second() -> None:
        pulled(cache, files={"other": b""}, is_wanted=lambda _: False, progress=progress)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cache.pull, Described(name="m", source=""), GivenSource(FILES, first))
        assert begun.wait(10)
        other = pool.submit(second)
        while not progress.detail:
            assert not other.done()
        assert progress.step == "waiting"
        assert progress.detail.startswith("process ")
        assert sized(cache, "n", 3)  # another model meanwhile
        go_on.set()
        assert one.result(10) == cache.inspect("m").manifest
        other.result(10)
    assert installed(cache) == FILES


def test_who_waits_can_be_stopped(cache):
    stop = Stop()
    stop.set()
    with locked(cache.root, "m"):
        for work in (
            lambda: pulled(cache, stop=stop),
            lambda: cache.drop("m", stop=stop),
            lambda: cache.used("m", stop).__enter__(),
        ):
            with pytest.raises(StoppedError):
                work()
    assert cache.inspect("m").status == "missing"


def test_too_little_space_is_refused_before_anything_is_copied(cache):
    pulled(cache)
    source = GivenSource(FILES, pytest.fail)
    listing = source.list()
    huge = [SourceFile(path=file.path, size_bytes=1 << 60) for file in listing.files]
    source.list = lambda: Listing(files=huge)
    told = f"model m: needs {3 << 60} bytes more, and {cache.root} has [0-9]+ free"
    with pytest.raises(ResourceExhaustedError, match=told):
        cache.pull(Described(name="m", source=""), source)
    assert installed(cache) == FILES
    assert left_in(cache) == []


# ---- inspecting


def test_what_is_not_there_is_missing(cache):
    report = cache.inspect("m", is_deep=True)
    assert (report.status, report.footprint_bytes, report.stamp) == ("missing", 0, {})
    assert (report.manifest, report.detail, report.path) == (None, None, cache.root / "m")


def test_what_is_whole_is_installed_and_its_footprint_is_that_of_its_files(cache):
    pulled(cache)
    (cache.root / "m/notes.txt").write_bytes(b"not of the manifest")
    report = cache.inspect("m")
    assert (report.status, report.footprint_bytes, report.detail) == ("installed", SIZE, None)


def test_what_is_not_whole_is_unhealthy_and_its_footprint_is_all_there_is(cache):
    manifest = pulled(cache)
    size = (cache.root / "m/manifest.json").stat().st_size
    (cache.root / "m/config.json").unlink()
    (cache.root / "m/notes.txt").write_bytes(b"12345")
    report = cache.inspect("m")
    assert report.status == "unhealthy"
    assert report.detail == "missing artifact file 'config.json': No such file or directory"
    assert report.footprint_bytes == SIZE - 2 + size + 5
    assert report.manifest == manifest


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (None, "manifest unreadable: No such file or directory"),
        (b"{", "manifest is not valid JSON: "),
        (b"{}", "manifest schema invalid: name: expected a text"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_unhealthy(cache, data, detail):
    pulled(cache)
    path = cache.root / "m/manifest.json"
    path.unlink() if data is None else path.write_bytes(data)
    report = cache.inspect("m")
    assert (report.status, report.manifest) == ("unhealthy", None)
    assert report.detail.startswith(detail)
    assert report.footprint_bytes == SIZE + len(data or b"")


def test_only_a_deep_look_finds_bytes_that_have_changed(cache):
    manifest = pulled(cache)
    (cache.root / "m/weights/two.bin").write_bytes(b"3" * 2000)
    assert cache.inspect("m").status == "installed"
    report = cache.inspect("m", is_deep=True)
    assert (report.status, report.manifest) == ("unhealthy", manifest)
    assert report.detail.startswith("sha256 mismatch for 'weights/two.bin': manifest=")


def test_a_deep_look_can_be_stopped(cache):
    pulled(cache)
    stop = Stop()
    stop.set()
    with pytest.raises(StoppedError):
        cache.inspect("m", is_deep=True, stop=stop)


def test_an_unhealthy_one_is_mended_by_a_pull(cache):
    pulled(cache)
    (cache.root / "m/manifest.json").unlink()
    pulled(cache)
    assert installed(cache) == FILES


# ---- listing


def test_all_entries_are_listed_by_name(cache):
    for name in ("b", "a", "c"):
        sized(cache, name, 3)
    (cache.root / "c/f").unlink()
    assert [(report.name, report.status) for report in cache.list()] == [
        ("a", "installed"),
        ("b", "installed"),
        ("c", "unhealthy"),
    ]
    assert cache.list()[0] == cache.inspect("a")


def test_what_cannot_be_an_entry_is_left_alone(cache):
    sized(cache, "m", 3)
    for name in ("lost+found", "a b", "é", ".hidden", "a" * 201, " m"):
        (cache.root / name).mkdir()
    assert [report.name for report in cache.list()] == ["m"]
    assert [report.name for report in cache_at(cache.root).list()] == ["m"]
    assert (cache.root / "lost+found").is_dir()


def test_trouble_with_the_folder_is_an_internal_error(cache):
    cache.root.rmdir() if not list(cache.root.iterdir()) else pytest.fail("not empty")
    with pytest.raises(InternalError, match=f"cache {cache.root}: No such file or directory"):
        cache.list()


# ---- stamps


def test_a_pull_stamps_what_is_installed(cache):
    manifest = pulled(cache)
    assert cache.inspect("m").stamp == {
        "status": "installed",
        "cache_dir": str(cache.root / "m"),
        "installed_at_unix_ms": manifest.installed_at_unix_ms,
        "cache_size_bytes": SIZE,
        "updated_at_unix_ms": manifest.installed_at_unix_ms + 1,
    }
    assert manifest.installed_at_unix_ms > THEN


def test_a_drop_takes_the_stamps_away(cache):
    at = pulled(cache).installed_at_unix_ms
    cache.drop("m")
    stamp = dict(cache.inspect("m").stamp)
    assert stamp.pop("updated_at_unix_ms") > at
    assert stamp == {"status": "registered"}


@pytest.mark.parametrize("text", ["", "{", "3", "[" * 100_000])
def test_a_stamp_that_cannot_be_read_is_none_and_is_written_anew(cache, text):
    pulled(cache)
    stamp = cache.inspect("m").stamp
    (cache.root / ".stamps/m.json").write_text(text)
    assert cache.inspect("m").stamp == {}
    assert cache_at(cache.root).inspect("m").stamp.keys() == stamp.keys()


# ---- trouble


def test_trouble_with_files_is_an_internal_error_that_says_what_and_where(cache, tmp_path):
    (cache.root / ".locks").mkdir(exist_ok=True)
    (cache.root / ".locks/m").touch()
    for what, work in (
        ("installed", lambda: pulled(cache)),
        ("dropped", lambda: cache.drop("m")),
        ("used", lambda: used(cache, "m")),
    ):
        with pytest.raises(InternalError, match=f"model m: not {what}: .* {cache.root}/.locks/m"):
            work()


def test_an_entry_that_cannot_be_looked_at_is_an_internal_error(cache, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    pulled(cache)
    monkeypatch.setattr(Path, "is_symlink", refuse)
    with pytest.raises(InternalError, match=r"model m: not inspected: Permission denied .*/m"):
        cache.inspect("m")
