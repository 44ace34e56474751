"""A folder on this machine as a source: what of it is taken, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from discovery.artifacts.local import PIECE_BYTES, LocalSource, io_error
from discovery.artifacts.manifest import Described
from discovery.artifacts.source import SourceFile
from discovery.errors import InternalError, InvalidArgumentError
from tests.discovery.artifacts.places import below, cache_at, folder_with, installed, local


def paths(source: LocalSource) -> list[str]:
    return [file.path for file in source.list().files]


def read(source: LocalSource, path: str, start: int = 0) -> bytes:
    return b"".join(map(bytes, source.read(SourceFile(path=path, size_bytes=0), start)))


def refused(source: LocalSource, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        source.list()


# ---- what is taken


def test_files_are_listed_with_their_sizes_in_the_order_of_their_paths(tmp_path):
    source = local(tmp_path, {"b/z": b"22", "b.txt": b"1", "a": b"", "b/a/c": b"333"})
    listing = source.list()
    assert [(f.path, f.size_bytes, f.sha256) for f in listing.files] == [
        ("a", 0, None),
        ("b.txt", 1, None),
        ("b/a/c", 3, None),
        ("b/z", 2, None),
    ]
    assert (listing.revision, listing.total_bytes) == ("", 6)


def test_hidden_files_and_manifests_are_skipped_at_every_level(tmp_path):
    names = (".hidden", ".git/config", "manifest.json", "sub/.cache/x", "sub/manifest.json")
    source = local(tmp_path, dict.fromkeys((*names, "a", "sub/b", "sub/my.manifest.json"), b"x"))
    assert paths(source) == ["a", "sub/b", "sub/my.manifest.json"]


def test_hidden_things_that_would_be_refused_are_skipped_too(tmp_path):
    (tmp_path / ".link").symlink_to("/etc/passwd")
    (tmp_path / "manifest.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / ".fifo")
    assert paths(local(tmp_path, {"a": b""})) == ["a"]


def test_a_file_is_read_from_any_place_on_in_pieces(tmp_path):
    data = b"0123456789" * (PIECE_BYTES // 5)
    source = local(tmp_path, {"sub/a": data})
    assert read(source, "sub/a") == data
    assert read(source, "sub/a", PIECE_BYTES + 3) == data[PIECE_BYTES + 3 :]
    assert read(source, "sub/a", len(data)) == b""


def test_it_is_a_source_without_a_secret_that_is_not_worth_resuming(tmp_path, monkeypatch):
    monkeypatch.chdir(folder_with(tmp_path / "my models"))
    source = LocalSource(Path("weights"))
    assert source.url == f"file://{tmp_path}/my%20models/weights"
    assert (source.provider, source.is_resumable) == ("File", False)
    assert paths(source) == ["one.bin", "two.bin"]


# ---- what is refused


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    refused(LocalSource(tmp_path / "gone"), r"source '.*/gone': expected a folder that there is")


def test_a_file_is_no_folder(tmp_path):
    folder_with(tmp_path)
    refused(LocalSource(tmp_path / "config.json"), "expected a folder that there is")


@pytest.mark.parametrize("files", [{}, {".hidden": b"", "manifest.json": b"", "sub/.x": b""}])
def test_a_source_without_files_is_refused(tmp_path, files):
    (tmp_path / "empty").mkdir()
    refused(local(tmp_path, files), "has no files to install")


def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"bad-\xff")).write_bytes(b"")
    refused(LocalSource(tmp_path), r"path 'bad-\\udcff': expected .* bytes of UTF-8")


@pytest.mark.parametrize("name", ["a\nb", "a\\b"])
def test_a_name_with_what_paths_have_not_is_refused(tmp_path, name):
    refused(local(tmp_path, {name: b""}), "path ")


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(LocalSource(tmp_path), r"/pipe': neither a file nor a folder")


def test_a_link_to_a_fifo_or_a_device_is_refused(tmp_path):
    os.mkfifo(tmp_path / ".fifo")
    (tmp_path / "link").symlink_to(".fifo")
    refused(LocalSource(tmp_path), r"/link': neither a file nor a folder")


# ---- links


def test_links_are_followed_while_they_stay_inside(tmp_path):
    source = local(tmp_path / "s", {"a": b"x", "sub/b": b"yy"})
    (tmp_path / "s/to-a").symlink_to("a")
    (tmp_path / "s/sub/up").symlink_to("../a")
    (tmp_path / "s/to-sub").symlink_to(tmp_path / "s/sub")
    (tmp_path / "s/twice").symlink_to("to-a")
    assert [(f.path, f.size_bytes) for f in source.list().files] == [
        ("a", 1),
        ("sub/b", 2),
        ("sub/up", 1),
        ("to-a", 1),
        ("to-sub/b", 2),
        ("to-sub/up", 1),
        ("twice", 1),
    ]
    assert read(source, "to-sub/b") == b"yy"


def test_a_source_that_is_a_link_itself_is_followed(tmp_path):
    folder_with(tmp_path / "s")
    (tmp_path / "s/link").symlink_to("config.json")
    (tmp_path / "there").symlink_to("s")
    assert "link" in paths(LocalSource(tmp_path / "there"))


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "sub/../../secret", "../s-2/f"])
def test_a_link_out_of_the_source_is_refused(tmp_path, target):
    folder_with(tmp_path, {"secret": b"", "s-2/f": b"", "s/sub/f": b""})
    (tmp_path / "s/link").symlink_to(target)
    refused(LocalSource(tmp_path / "s"), r"/s/link': a link out of the source, to '/")


def test_a_folder_behind_a_link_out_of_the_source_is_refused(tmp_path):
    folder_with(tmp_path, {"other/f": b"", "s/f": b""})
    (tmp_path / "s/link").symlink_to("../other")
    refused(LocalSource(tmp_path / "s"), "a link out of the source")


@pytest.mark.parametrize("target", ["nowhere", "link", "a/b"])
def test_a_link_that_leads_nowhere_or_to_itself_is_refused(tmp_path, target):
    source = local(tmp_path, {"a": b""})
    (tmp_path / "link").symlink_to(target)
    refused(source, r"/link': a link that leads nowhere")


@pytest.mark.parametrize("target", [".", "..", "../../s"])
def test_a_link_to_a_folder_above_is_refused(tmp_path, target):
    source = local(tmp_path / "s", {"sub/deep/f": b""})
    (tmp_path / "s/sub/deep/link").symlink_to(target)
    refused(source, "a link to a folder above" if target != "../../s" else "a link that leads")


def test_links_that_lead_to_each_other_in_turn_are_refused(tmp_path):
    source = local(tmp_path, {"a/f": b"", "b/f": b""})
    (tmp_path / "a/to-b").symlink_to("../b")
    (tmp_path / "b/to-a").symlink_to("../a")
    refused(source, "a link to a folder above")


# ---- snapshots of Hugging Face


def snapshot(hub, links):
    """A snapshot as huggingface_hub lays it out, of which all is links into `blobs`."""
    folder_with(hub, {"models--org--m/blobs/b1": b"one", "models--org--m/blobs/b2": b"two!"})
    folder_with(hub, {"models--other/blobs/b3": b"three", "token": b"secret"})
    folder = hub / "models--org--m/snapshots/c0ffee"
    for path, target in links.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    return LocalSource(folder)


def test_a_snapshot_of_hugging_face_is_installed_through_its_links(tmp_path):
    links = {"config.json": "../../blobs/b1", "weights/w.bin": "../../../blobs/b2"}
    source = snapshot(tmp_path / "hub", links)
    cache = cache_at(tmp_path / "cache")
    cache.pull(Described(name="m", source=""), source)
    assert installed(cache) == {"config.json": b"one", "weights/w.bin": b"two!"}
    assert not any(path.is_symlink() for path in (cache.root / "m").rglob("*"))


def test_a_snapshot_that_is_reached_through_a_link_is_followed_too(tmp_path):
    snapshot(tmp_path / "hub", {"config.json": "../../blobs/b1"})
    (tmp_path / "m").symlink_to("hub/models--org--m/snapshots/c0ffee")
    assert paths(LocalSource(tmp_path / "m")) == ["config.json"]


@pytest.mark.parametrize("target", ["../../../models--other/blobs/b3", "../../../token"])
def test_a_link_out_of_the_folder_of_the_model_is_refused(tmp_path, target):
    source = snapshot(tmp_path, {"config.json": "../../blobs/b1", "x": target})
    refused(source, r"/x': a link out of the source")


def test_only_a_snapshot_of_a_model_may_lead_out_of_itself(tmp_path):
    folder_with(tmp_path, {"m/blobs/b1": b"one", "models--m/blobs/b1": b"one"})
    for folder in (tmp_path / "m/snapshots/1", tmp_path / "models--m/other/1"):
        folder.mkdir(parents=True)
        (folder / "x").symlink_to("../../blobs/b1")
        refused(LocalSource(folder), "a link out of the source")


# ---- trouble


def test_trouble_with_files_says_what_and_where(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "gone").read_bytes()
    error = io_error("model m", caught.value)
    assert isinstance(error, InternalError)
    assert str(error) == f"model m: No such file or directory {tmp_path}/gone"
    assert str(io_error("model m", OSError("odd"))) == "model m: odd"


def test_a_file_that_cannot_be_read_is_an_internal_error(tmp_path):
    source = local(tmp_path / "s", {"a": b"x" * 5, "b": b""})
    cache = cache_at(tmp_path / "cache")
    listing = source.list()
    (tmp_path / "s/a").unlink()
    source.list = lambda: listing  # it went between the two
    with pytest.raises(InternalError, match=r"model m: not installed: No such file .*/s/a$"):
        cache.pull(Described(name="m", source=""), source)
    assert "m" not in below(cache.root)
