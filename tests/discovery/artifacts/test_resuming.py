"""What comes from afar and was cut off is gone on with."""

from __future__ import annotations

import os

import pytest

from discovery.artifacts.manifest import Described
from discovery.artifacts.stopping import Progress
from discovery.errors import InternalError, UnavailableError
from tests.discovery.artifacts.places import (
    FILES,
    GivenSource,
    below,
    cache_at,
    installed,
    left_in,
    pulled,
    sha256,
)


@pytest.fixture
def cache(tmp_path):
    return cache_at(tmp_path / "cache")


def pull(cache, source: GivenSource) -> Progress:
    progress = Progress()
    cache.pull(Described(name="m", source=""), source, progress=progress)
    return progress


def afar(files=FILES, **how) -> GivenSource:
    return GivenSource(files, is_resumable=True, **how)


def cut_off(cache, files=FILES, at: str = "weights/two.bin", **how) -> GivenSource:
    """A pull that ends with the second piece of a file."""
    pieces = []

    def cut(path: str) -> None:
        pieces.append(path)
        if pieces.count(at) == 2:
            raise UnavailableError("cut off")

    source = afar(files, between=cut, **how)
    with pytest.raises(UnavailableError, match="cut off"):
        pull(cache, source)
    return source


def partial(cache) -> dict[str, bytes]:
    return below(cache.root / ".partial/m/files")


def test_what_is_here_is_kept_and_the_rest_is_asked_for(cache):
    cut_off(cache)
    assert cache.inspect("m").status == "missing"
    assert partial(cache)["weights/two.bin"] == FILES["weights/two.bin"][:1000]
    here = {path: len(data) for path, data in partial(cache).items()}
    source = afar()
    progress = pull(cache, source)
    assert source.read_from == {path: here.get(path, 0) for path in FILES}
    assert (progress.resumed_bytes, progress.done_bytes) == (sum(here.values()), 5002)
    assert installed(cache) == FILES
    assert left_in(cache) == []


def test_the_old_install_stays_until_all_is_here(cache):
    pulled(cache, files={"old": b"old"})
    cut_off(cache)
    assert installed(cache) == {"old": b"old"}
    pull(cache, afar())
    assert installed(cache) == FILES


def test_another_process_goes_on_with_it(cache):
    cut_off(cache)
    source = afar()
    pull(cache_at(cache.root), source)
    assert source.read_from["weights/two.bin"] == 1000


@pytest.mark.parametrize("other", [{"revision": "2"}, {"url": "https://models.example/other"}])
def test_another_revision_or_source_is_begun_anew(cache, other):
    cut_off(cache)
    source = afar(**other)
    assert pull(cache, source).resumed_bytes == 0
    assert set(source.read_from.values()) == {0}
    assert installed(cache) == FILES


def test_what_the_source_has_no_more_is_forgotten(cache):
    cut_off(cache, {**FILES, "a/b/gone": b"x"})
    (cache.root / ".partial/m/files/link").symlink_to("/etc")
    pull(cache, afar())
    assert installed(cache) == FILES
    assert not (cache.root / "m/a").exists()
    assert not os.path.lexists(cache.root / "m/link")


def test_a_folder_that_is_a_file_by_now_and_a_file_that_is_a_folder_are_taken(cache):
    cut_off(cache, {"a/b": b"x", "c": b"y", "weights/two.bin": b"2" * 2000})
    files = {"a": b"xx", "c/d": b"yy", "weights/two.bin": b"2" * 2000}
    pull(cache, afar(files))
    assert installed(cache) == files


def test_a_file_that_is_shorter_by_now_is_begun_anew(cache):
    cut_off(cache)
    files = {**FILES, "weights/two.bin": b"short"}
    source = afar(files)
    pull(cache, source)
    assert source.read_from["weights/two.bin"] == 0
    assert installed(cache) == files


def test_bytes_that_are_not_the_sources_fail_once_and_are_begun_anew(cache):
    hashes = {path: sha256(data) for path, data in FILES.items()}
    cut_off(cache, sha256=hashes)
    path = cache.root / ".partial/m/files/weights/two.bin"
    path.write_bytes(b"rubbish" * 10)
    with pytest.raises(InternalError, match=r"weights/two.bin has sha256 .* as its source says"):
        pull(cache, afar(sha256=hashes))
    assert not path.exists()
    source = afar(sha256=hashes)
    pull(cache, source)
    assert source.read_from["weights/two.bin"] == 0
    assert installed(cache) == FILES


def test_a_begin_that_was_killed_before_it_said_of_what_is_begun_anew(cache):
    cut_off(cache)
    (cache.root / ".partial/m/origin").unlink()
    assert pull(cache, afar()).resumed_bytes == 0
    assert installed(cache) == FILES


def test_an_end_that_was_killed_after_its_files_were_taken_is_begun_anew(cache):
    cut_off(cache)
    (cache.root / ".partial/m/files").rename(cache.root / ".staging/m-0123456789abcdef")
    cache = cache_at(cache.root)
    assert pull(cache, afar()).resumed_bytes == 0
    assert installed(cache) == FILES
    assert left_in(cache) == []


def test_a_pull_from_this_machine_forgets_what_was_begun_from_afar(cache):
    cut_off(cache)
    pulled(cache, files={"f": b"f"})
    assert installed(cache) == {"f": b"f"}
    assert left_in(cache) == []


def test_a_drop_forgets_what_was_begun(cache):
    cut_off(cache)
    assert not cache.drop("m")
    assert left_in(cache) == []
