"""The cache that settings name: where it is, what it is called, whose secrets it uses."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest

from discovery.artifacts.layout import temporary_root
from discovery.artifacts.manifest import Described
from discovery.artifacts.node import Node
from discovery.artifacts.reportwire import report_from_wire, report_to_wire
from discovery.artifacts.stopping import Progress, never
from discovery.artifacts.wanted import Wanted
from discovery.errors import InvalidArgumentError, PermissionDeniedError
from discovery.modelname import ModelName
from discovery.settings import ArtifactSettings
from tests.discovery.artifacts.places import FILES, below, cache_at, folder_with, installed, pulled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """A temporary folder that is nobody else's."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def node(data: Path | None = None, environ: dict[str, str] | None = None, **settings) -> Node:
    return Node(ArtifactSettings(**settings), environ or {}, data)


def pull(of: Node, url: str, alias: str | None = None):
    described = Described(name="m", source=url)
    wanted = Wanted(model=ModelName.of(None, "m", 1), url=url, alias=alias, described=described)
    return of.pull(wanted, room=None, progress=Progress(), stop=never)


# ---- where


def test_the_root_is_the_settings_else_beside_the_data_else_temporary(tmp_path, temporary):
    data = tmp_path / "data"
    assert node(data, root=str(tmp_path / "set")).cache.root == tmp_path / "set"
    assert node(data).cache.root == data / "artifacts"
    assert node().cache.root == temporary / f"discovery-artifacts-{os.getuid()}"


def test_the_cache_is_made_when_it_is_first_asked_for(tmp_path):
    of = node(root=str(tmp_path / "set"))
    assert not (tmp_path / "set").exists()
    assert of.cache is of.cache


def test_the_temporary_root_is_this_users_only():
    root = temporary_root()
    assert root.stat().st_mode & 0o777 == 0o700
    assert temporary_root() == root


@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_a_temporary_root_that_another_user_may_have_made_is_refused(temporary, kind):
    there = temporary / f"discovery-artifacts-{os.getuid()}"
    (temporary / "theirs").mkdir()
    there.touch() if kind == "file" else there.symlink_to("theirs" if kind == "link" else "gone")
    with pytest.raises(PermissionDeniedError, match="made by another user; name one of your own"):
        _ = node().cache


# ---- which


def test_its_id_is_the_settings_else_host_and_root(tmp_path):
    assert node(root=str(tmp_path), id="shared-disk").id == "shared-disk"
    assert node(root=str(tmp_path)).id == f"{socket.gethostname()}:{tmp_path}"


@pytest.mark.parametrize("name", ["\x07", "é" * 110 + "/" + "é" * 110])
def test_a_root_that_makes_no_id_asks_for_one(tmp_path, name):
    with pytest.raises(InvalidArgumentError, match=r"cache id .* set artifacts.id"):
        _ = node(root=str(tmp_path / name)).id


def test_a_budget_of_nothing_is_none():
    assert node().budget_bytes is None
    assert node(budget_bytes=7).budget_bytes == 7


def test_the_source_is_that_of_the_settings():
    assert node(source="hf://{name}").source == "hf://{name}"
    assert node().source is None


# ---- pulling


def test_files_are_pulled_from_their_source(tmp_path):
    folder_with(tmp_path / "s")
    of = node(root=str(tmp_path / "cache"))
    manifest = pull(of, f"file://{tmp_path}/s")
    assert manifest.source == f"file://{tmp_path}/s"
    assert installed(of.cache) == FILES


def test_an_alias_is_looked_up_in_the_environment_and_the_file_of_secrets(tmp_path):
    file = tmp_path / "secrets.toml"
    of = node(root=str(tmp_path / "cache"), credentials_file=str(file))
    with pytest.raises(InvalidArgumentError, match=f"credentials file {file}: No such file"):
        pull(of, "https://127.0.0.1:1/m", "team")
    of = node(root=str(tmp_path / "cache"), environ={"DISCOVERY_CREDENTIAL_TEAM": ""})
    with pytest.raises(InvalidArgumentError, match="'team' stands for an empty secret"):
        pull(of, "https://127.0.0.1:1/m", "team")


def test_no_secret_is_looked_up_for_a_source_that_is_shown_none(tmp_path):
    of = node(root=str(tmp_path / "cache"))
    with pytest.raises(InvalidArgumentError, match="no secret is sent to http://"):
        pull(of, "http://127.0.0.1:1/m", "team")


def test_an_alias_is_looked_up_for_a_folder_too_which_wants_none(tmp_path):
    folder_with(tmp_path / "s")
    of = node(root=str(tmp_path / "cache"))
    with pytest.raises(InvalidArgumentError, match="credential_alias 'team' stands for nothing"):
        pull(of, f"file://{tmp_path}/s", "team")
    of = node(root=str(tmp_path / "cache"), environ={"DISCOVERY_CREDENTIAL_TEAM": "hunter2"})
    pull(of, f"file://{tmp_path}/s", "team")
    assert installed(of.cache) == FILES
    assert not any(b"hunter2" in data for data in below(tmp_path).values())  # nowhere stored


# ---- reports on the wire


@pytest.mark.parametrize("is_there", [False, True])
def test_a_report_is_read_as_it_was_written(tmp_path, is_there):
    cache = cache_at(tmp_path)
    if is_there:
        pulled(cache)
    report = cache.inspect("m")
    assert report_from_wire(report_to_wire(report)) == report


@pytest.mark.parametrize(
    "change", [{"status": "odd"}, {"stamp": None}, {"manifest": {}}, {"footprint_bytes": "3"}]
)
def test_a_report_that_is_none_is_refused(tmp_path, change):
    wire = {**report_to_wire(cache_at(tmp_path).inspect("m")), **change}
    with pytest.raises(InvalidArgumentError):
        report_from_wire(wire)
