"""What whoever was killed has left is put right at the next start; spec/models.md §3."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from discovery.artifacts.layout import Layout
from discovery.artifacts.lock import locked
from discovery.artifacts.manifest import Described, decode_manifest
from discovery.artifacts.marks import STALE_S, this_process
from discovery.errors import UnavailableError
from tests.discovery.artifacts.places import (
    FILES,
    THEN,
    GivenSource,
    below,
    cache_at,
    installed,
    left_in,
    pulled,
)

if TYPE_CHECKING:
    from pathlib import Path

MARKS = ["0123456789abcdef", "0000000000000001", "ffffffffffffffff", "00000000deadbeef"]
DAY_S = 86400.0


@pytest.fixture
def cache(tmp_path):
    return cache_at(tmp_path / "cache")


def left(cache, where: str, data: bytes, at: int, ending: str = "", name: str = "m") -> Path:
    """Leave a whole tree whose file has this in it, installed so many ms after `THEN`."""
    made = cache_at(cache.root.parent / "made")
    pulled(made, name, {"f": data})
    manifest = replace(made.inspect(name).manifest, installed_at_unix_ms=THEN + at)
    (made.root / name / "manifest.json").write_bytes(manifest.encode())
    folder = cache.root / where
    folder.mkdir(exist_ok=True)
    mark = MARKS[len(left_in(cache)) % len(MARKS)]
    return (made.root / name).rename(folder / f"{name}-{mark}{ending}")


def found(cache) -> bytes | None:
    """What is installed after the next start; nothing but that is left."""
    again = cache_at(cache.root)
    assert left_in(again) == []
    return None if again.inspect("m").status == "missing" else installed(again)["f"]


# ---- which comes back


@pytest.mark.parametrize("where", [".staging", ".purge"])
def test_a_whole_tree_comes_back_where_nothing_is_installed(cache, where):
    left(cache, where, b"1", 1)
    assert found(cache) == b"1"


def test_what_was_to_be_installed_comes_back_before_what_was_to_go(cache):
    left(cache, ".purge", b"old", 9)
    left(cache, ".staging", b"new", 1)
    assert found(cache) == b"new"


@pytest.mark.parametrize("where", [".staging", ".purge"])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_newest_of_several_comes_back(cache, where, order):
    for at in order:
        left(cache, where, b"%d" % at, at)
    assert found(cache) == b"3"


def test_what_is_installed_stays_and_the_rest_goes(cache):
    pulled(cache, files={"f": b"there"})
    left(cache, ".staging", b"new", 10**9)
    left(cache, ".purge", b"old", 10**9)
    assert found(cache) == b"there"


def test_what_is_installed_and_not_whole_stays_too(cache):
    pulled(cache, files={"f": b"there"})
    (cache.root / "m/f").unlink()
    left(cache, ".staging", b"new", 1)
    again = cache_at(cache.root)
    assert again.inspect("m").status == "unhealthy"
    assert left_in(again) == []


def test_what_was_dropped_never_comes_back(cache):
    left(cache, ".purge", b"dropped", 9, ".drop")
    assert found(cache) is None
    left(cache, ".purge", b"dropped", 9, ".drop")
    left(cache, ".purge", b"old", 1)
    assert found(cache) == b"old"


@pytest.mark.parametrize("what", ["manifest.json", "f"])
def test_a_tree_that_is_not_whole_goes(cache, what):
    (left(cache, ".staging", b"half", 9) / what).unlink()
    left(cache, ".purge", b"old", 1)
    assert found(cache) == b"old"
    shutil.rmtree(cache.root / "m")
    (left(cache, ".staging", b"half", 9) / what).unlink()
    assert found(cache) is None


def test_a_tree_with_a_file_of_another_size_goes(cache):
    (left(cache, ".staging", b"half", 9) / "f").write_bytes(b"hal")
    assert found(cache) is None


def test_a_tree_of_another_model_does_not_come_back_under_this_ones_name(cache):
    tree = left(cache, ".staging", b"n", 9, name="n")
    tree.rename(tree.with_name(tree.name.replace("n-", "m-", 1)))
    assert found(cache) is None


def test_a_file_or_a_link_among_the_trees_goes(cache, tmp_path):
    tree = left(cache, ".staging", b"x", 9).rename(tmp_path / "tree")
    (cache.root / f".staging/m-{MARKS[0]}").symlink_to(tree)
    (cache.root / f".staging/m-{MARKS[1]}").touch()
    assert found(cache) is None
    assert (tree / "f").exists()


def test_each_model_gets_its_own_back(cache):
    for name in ("m", "n", "m-1-2"):
        left(cache, ".purge", name.encode(), 1, name=name)
    again = cache_at(cache.root)
    assert {report.name: installed(again, report.name)["f"] for report in again.list()} == {
        "m": b"m",
        "n": b"n",
        "m-1-2": b"m-1-2",
    }
    assert left_in(again) == []


def test_a_mark_of_digits_only_is_no_part_of_the_name():
    assert Layout.entry_of_aside("m-1-2-0123456789012345") == "m-1-2"
    assert Layout.entry_of_aside("m-1-2-0123456789012345.drop") == "m-1-2"


def test_a_cache_that_was_taken_over_is_put_right_too(cache):
    tree = left(cache, ".purge", b"old", 1)
    tree.rename(tree.with_name("m-4711-1700000000000000000-0"))
    assert found(cache) == b"old"


def test_a_manifest_that_came_back_is_as_it_was(cache):
    tree = left(cache, ".purge", b"old", 1)
    data = (tree / "manifest.json").read_bytes()
    assert cache_at(cache.root).inspect("m").manifest == decode_manifest(data)


# ---- when


def test_a_pull_and_a_drop_put_their_model_right_first(cache):
    left(cache, ".purge", b"old", 1)
    assert pulled(cache, is_wanted=lambda _: False).files[0].path == "f"
    assert left_in(cache) == []
    cache.drop("m")
    left(cache, ".purge", b"old", 1)
    assert cache.drop("m")
    assert cache.inspect("m").status == "missing"
    assert left_in(cache) == []


def test_what_a_living_process_is_at_is_left_alone(cache):
    left(cache, ".staging", b"new", 1)
    left(cache, ".purge", b"n", 1, name="n")
    with locked(cache.root, "m"):
        again = cache_at(cache.root)
        assert again.inspect("m").status == "missing"
        assert installed(again, "n") == {"f": b"n"}
        assert len(left_in(again)) == 1
    assert found(cache) == b"new"


def test_a_pull_that_is_under_way_is_not_disturbed_by_a_start(cache):
    cache.pull(Described(name="m", source=""), GivenSource(FILES, lambda _: cache_at(cache.root)))
    assert installed(cache) == FILES


def test_what_a_process_elsewhere_is_at_is_left_alone_until_it_is_taken_for_dead(cache):
    left(cache, ".staging", b"new", 1)
    lock = cache.root / ".locks/m/1"
    lock.parent.mkdir(parents=True)
    holder = {**asdict(this_process()), "boot": "another", "token": "theirs"}
    lock.write_text(json.dumps(holder))
    assert cache_at(cache.root).inspect("m").status == "missing"
    os.utime(lock, (time.time() - STALE_S - 10,) * 2)
    assert found(cache) == b"new"


def test_names_of_others_are_left_alone_and_told(cache, caplog):
    names = ["notes", "m", f"a b-{MARKS[0]}", f"-{MARKS[0]}", f"m-{MARKS[0]}.old", "m-1-2"]
    for where in (".staging", ".purge"):
        (cache.root / where).mkdir(exist_ok=True)
        for name in (*names, ".hidden"):
            (cache.root / where / name).mkdir()
    again = cache_at(cache.root)
    assert len(left_in(again)) == 2 * len(names) + 2
    assert {record.message for record in caplog.records} == {"not of this cache, left alone"}
    assert len(caplog.records) == 2 * len(names)
    assert again.list() == []


# ---- stamps


def test_a_stamp_that_a_kill_after_an_install_prevented_is_written(cache):
    pulled(cache)
    stamp = cache.inspect("m").stamp
    (cache.root / ".stamps/m.json").unlink()
    mended = cache_at(cache.root).inspect("m").stamp
    assert {**mended, "updated_at_unix_ms": stamp["updated_at_unix_ms"]} == stamp


def test_a_stamp_of_the_install_before_is_written_anew(cache):
    pulled(cache)
    old = (cache.root / ".stamps/m.json").read_bytes()
    manifest = pulled(cache, files={"f": b"new"})
    (cache.root / ".stamps/m.json").write_bytes(old)
    stamp = cache_at(cache.root).inspect("m").stamp
    assert stamp["installed_at_unix_ms"] == manifest.installed_at_unix_ms
    assert stamp["cache_size_bytes"] == 3


def test_a_stamp_of_what_was_dropped_is_taken_away(cache):
    pulled(cache)
    installed_stamp = (cache.root / ".stamps/m.json").read_bytes()
    cache.drop("m")
    (cache.root / ".stamps/m.json").write_bytes(installed_stamp)
    stamp = cache_at(cache.root).inspect("m").stamp
    assert stamp.keys() == {"status", "updated_at_unix_ms"}
    assert stamp["status"] == "registered"


def test_a_model_that_somebody_removed_by_hand_is_stamped_so(cache):
    pulled(cache)
    shutil.rmtree(cache.root / "m")
    assert cache_at(cache.root).inspect("m").stamp["status"] == "registered"


def test_the_stamp_of_what_is_not_whole_stays(cache):
    pulled(cache)
    (cache.root / "m/config.json").unlink()
    stamp = cache.inspect("m").stamp
    assert cache_at(cache.root).inspect("m").stamp == stamp


def test_a_start_that_has_nothing_to_put_right_changes_nothing(cache):
    pulled(cache)
    before = {path: data for path, data in below(cache.root).items() if ".locks" not in path}
    cache_at(cache.root)
    after = {path: data for path, data in below(cache.root).items() if ".locks" not in path}
    assert after == before


# ---- downloads


def begun(cache) -> Path:
    """The folder of a download that was cut off."""

    def fail(_: str) -> None:
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError):
        cache.pull(Described(name="m", source=""), GivenSource(FILES, fail, is_resumable=True))
    return cache.root / ".partial/m"


def aged(folder: Path, seconds: float) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_download_that_nobody_went_on_with_for_a_week_is_given_up(cache):
    partial = begun(cache)
    aged(partial, 6 * DAY_S)
    cache_at(cache.root)
    assert partial.exists()
    aged(partial, 8 * DAY_S)
    (partial / "files/config.json").touch()
    cache_at(cache.root)
    assert partial.exists()
    aged(partial, 8 * DAY_S)
    cache_at(cache.root)
    assert list(partial.parent.iterdir()) == []


def test_a_download_that_somebody_is_at_is_not_given_up(cache):
    partial = begun(cache)
    aged(partial, 8 * DAY_S)
    with locked(cache.root, "m"):
        cache_at(cache.root)
    assert partial.exists()


def test_what_cannot_be_swept_is_told_and_hinders_nobody(cache, caplog):
    pulled(cache)
    (cache.root / ".partial").touch()
    assert installed(cache_at(cache.root)) == FILES
    assert [record.message for record in caplog.records] == ["not swept"]
