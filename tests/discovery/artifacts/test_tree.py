"""What is below a folder: its size, whether it is what its manifest says, and its end."""

from __future__ import annotations

import os

import pytest

from discovery.artifacts.manifest import decode_manifest
from discovery.artifacts.stopping import Stop, StoppedError
from discovery.artifacts.tree import (
    UnhealthyError,
    check_bytes,
    checked,
    footprint_bytes,
    remove,
)
from tests.discovery.artifacts.places import FILES, below, cache_at, folder_with, pulled


@pytest.fixture
def tree(tmp_path):
    """A model as it is installed."""
    cache = cache_at(tmp_path / "cache")
    pulled(cache)
    return cache.root / "m"


def unhealthy(tree) -> UnhealthyError:
    with pytest.raises(UnhealthyError) as caught:
        checked(tree)
    return caught.value


def test_a_whole_tree_gives_its_manifest(tree):
    assert checked(tree) == decode_manifest((tree / "manifest.json").read_bytes())


def test_files_beside_those_of_the_manifest_are_left_alone(tree):
    (tree / "notes.txt").write_bytes(b"mine")
    assert [file.path for file in checked(tree).files] == sorted(FILES)


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_a_tree_is_a_folder(tmp_path, tree, kind):
    there = tmp_path / "there"
    {
        "file": there.touch,
        "link": lambda: there.symlink_to(tree),
        "fifo": lambda: os.mkfifo(there),
    }[kind]()
    assert str(unhealthy(there)) == "it is not a folder"


def test_a_manifest_that_is_missing_is_unreadable(tree):
    (tree / "manifest.json").unlink()
    error = unhealthy(tree)
    assert str(error) == "manifest unreadable: No such file or directory"
    assert error.manifest is None


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_a_manifest_that_is_no_file_is_unreadable_and_not_waited_for(tree, kind):
    (tree / "manifest.json").unlink()
    make = os.mkfifo if kind == "fifo" else os.mkdir
    make(tree / "manifest.json")
    assert str(unhealthy(tree)) == "manifest unreadable: it is not a file"


def test_a_manifest_that_is_a_link_is_unreadable(tmp_path, tree):
    (tree / "manifest.json").rename(tmp_path / "manifest.json")
    (tree / "manifest.json").symlink_to(tmp_path / "manifest.json")
    assert str(unhealthy(tree)) == "manifest unreadable: it is not a file"


def test_a_manifest_that_would_fill_the_memory_is_unreadable(tree):
    os.truncate(tree / "manifest.json", (64 << 20) + 1)
    assert str(unhealthy(tree)) == "manifest unreadable: it is larger than 64 MiB"


def test_a_manifest_that_is_no_json_says_so(tree):
    (tree / "manifest.json").write_bytes(b"{")
    assert str(unhealthy(tree)).startswith("manifest is not valid JSON: ")


def test_a_manifest_of_another_schema_says_what_is_wrong(tree):
    (tree / "manifest.json").write_bytes(b'{"name": 3}')
    assert str(unhealthy(tree)) == "manifest schema invalid: name: expected a text, got 3"


@pytest.mark.parametrize("path", ["/etc/passwd", "../m/config.json", "weights/../config.json"])
def test_a_manifest_with_a_path_that_leads_out_is_invalid(tree, path):
    data = (tree / "manifest.json").read_bytes()
    (tree / "manifest.json").write_bytes(data.replace(b"config.json", path.encode()))
    assert str(unhealthy(tree)).startswith(f"manifest schema invalid: files[0]: path {path!r}")


def test_a_file_that_is_missing_is_named(tree):
    (tree / "weights/one.bin").unlink()
    error = unhealthy(tree)
    assert str(error) == "missing artifact file 'weights/one.bin': No such file or directory"
    assert error.manifest.name == "m"


def test_a_folder_that_has_become_a_file_misses_its_files(tree):
    remove(tree / "weights")
    (tree / "weights").touch()
    assert "missing artifact file 'weights/one.bin': Not a directory" in str(unhealthy(tree))


def test_another_size_is_told_with_both(tree):
    (tree / "weights/one.bin").write_bytes(b"short")
    assert str(unhealthy(tree)) == "size mismatch for 'weights/one.bin': manifest=3000 actual=5"


@pytest.mark.parametrize("path", ["config.json", "weights/one.bin", "weights"])
def test_a_file_that_is_a_link_or_lies_behind_one_is_refused(tmp_path, tree, path):
    (tree / path).rename(tmp_path / "aside")
    (tree / path).symlink_to(tmp_path / "aside")
    of = "weights/one.bin" if path == "weights" else path
    assert str(unhealthy(tree)) == f"artifact file {of!r} leads through a link"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(tree, make):
    (tree / "config.json").unlink()
    make(tree / "config.json")
    assert str(unhealthy(tree)) == "artifact file 'config.json' is not a file"


# ---- bytes


def test_bytes_that_are_as_the_manifest_says_pass(tree):
    check_bytes(tree, checked(tree), lambda: None)


def test_bytes_that_have_changed_are_told_with_both_hashes(tree):
    manifest = checked(tree)
    (tree / "config.json").write_bytes(b"[]")
    with pytest.raises(UnhealthyError) as caught:
        check_bytes(tree, manifest, lambda: None)
    assert str(caught.value) == (
        "sha256 mismatch for 'config.json': manifest="
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a actual="
        "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    )
    assert caught.value.manifest == manifest


def test_a_file_that_goes_meanwhile_is_unreadable(tree):
    manifest = checked(tree)
    (tree / "config.json").unlink()
    with pytest.raises(UnhealthyError, match=r"unreadable artifact file 'config.json': No such"):
        check_bytes(tree, manifest, lambda: None)


def test_hashing_ends_when_it_is_told_to_stop(tree):
    stop = Stop()
    stop.set()
    with pytest.raises(StoppedError):
        check_bytes(tree, checked(tree), stop.check)


# ---- sizes and ends


def test_the_footprint_is_all_there_is_and_no_link_is_followed(tmp_path):
    folder_with(tmp_path / "t", {"a": b"1" * 10, "sub/b": b"2" * 20})
    (tmp_path / "t/link").symlink_to("/etc")
    assert footprint_bytes(tmp_path / "t") == 30 + len("/etc")
    assert footprint_bytes(tmp_path / "t/a") == 10
    assert footprint_bytes(tmp_path / "gone") == 0


@pytest.mark.parametrize("kind", ["folder", "file", "link", "dangling", "fifo", "gone"])
def test_whatever_is_removed_goes_and_nothing_else(tmp_path, kind):
    kept, tree = folder_with(tmp_path / "kept"), tmp_path / "tree"
    {
        "folder": lambda: folder_with(tree),
        "file": tree.touch,
        "link": lambda: tree.symlink_to(kept),
        "dangling": lambda: tree.symlink_to("nowhere"),
        "fifo": lambda: os.mkfifo(tree),
        "gone": lambda: None,
    }[kind]()
    if kind == "folder":
        (tree / "link").symlink_to(kept)
    remove(tree)
    assert not os.path.lexists(tree)
    assert below(kept) == FILES
