"""Repositories of Hugging Face as sources, of a hub that its own library takes for the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import huggingface_hub
import pytest
import trustme

from discovery.artifacts.manifest import Described
from discovery.artifacts.node import Node
from discovery.artifacts.remote import RemoteSource
from discovery.artifacts.stopping import Progress, Stop
from discovery.artifacts.wanted import Wanted
from discovery.errors import (
    InternalError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from discovery.modelname import ModelName
from discovery.settings import ArtifactSettings
from tests.discovery.artifacts.places import cache_at, installed, left_in, sha256
from tests.discovery.artifacts.test_web import TAKE, tls_of
from tests.support.hub import Hub, running_hub
from tests.support.web import Answer

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "hf_hunter2"
FILES = {
    ".gitattributes": b"*.bin lfs",
    "config.json": b"{}",
    "onnx/model é+.bin": b"2" * 2000,
    "onnx/vocab.txt": b"a\nb",
    "w.safetensors": os.urandom(100_000),
}


def source_of(hub: Hub, path: str = "org/m", secret: str | None = None) -> RemoteSource:
    return RemoteSource(f"hf://{path}", "HuggingFace", secret, hub.url)


def taken(hub: Hub, path: str = "org/m", secret: str | None = None) -> dict[str, bytes]:
    """The files of a source, by path."""
    with closing(source_of(hub, path, secret)) as source:
        return {file.path: b"".join(source.read(file, 0)) for file in source.list().files}


def refusal(hub: Hub, path: str, kind: type[Exception], secret: str | None = None) -> str:
    with closing(source_of(hub, path, secret)) as source, pytest.raises(kind) as caught:
        source.list()
    assert str(caught.value).startswith(f"source hf://{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- what is taken


def test_a_repository_is_listed_at_its_commit_with_what_is_known_of_large_files(hub):
    commit = hub.put("org/m", FILES)
    source = source_of(hub)
    listing = source.list()
    assert listing.revision == commit
    assert [(f.path, f.size_bytes, f.sha256) for f in listing.files] == [
        ("config.json", 2, None),
        ("onnx/model é+.bin", 2000, sha256(b"2" * 2000)),
        ("onnx/vocab.txt", 3, None),
        ("w.safetensors", 100_000, sha256(FILES["w.safetensors"])),
    ]
    for file in listing.files:
        assert b"".join(source.read(file, 0)) == FILES[file.path]
        assert b"".join(source.read(file, 1)) == FILES[file.path][1:]
    source.close()


def test_the_library_reads_the_same_of_the_hub_as_its_source_does(hub):
    hub.put("org/m", FILES)
    hub.page = 2
    theirs = huggingface_hub.HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)
    found = {path: theirs.cat_file(path) for path in theirs.find("org/m")}
    assert found == {f"org/m/{path}": data for path, data in FILES.items()}
    assert {f"org/m/{path}": data for path, data in taken(hub).items()}.items() <= found.items()


def test_all_pages_of_a_listing_are_taken(hub):
    files = {f"{number:03}/x": b"%d" % number for number in range(25)}
    hub.put("org/m", files)
    hub.page = 7
    assert taken(hub) == files


@pytest.mark.parametrize(
    ("revision", "branch"),
    [
        ("v1.0", "v1.0"),
        ("refs%2Fpr%2F1", "refs/pr/1"),
        ("refs/pr/1", "refs/pr/1"),
        ("feature%2Fa", "feature/a"),
    ],
)
def test_a_revision_is_taken_by_its_name(hub, revision, branch):
    hub.put("org/m", {"a": b"main"})
    hub.put("org/m", {"a": b"other", "sub/b": b"1"}, branch)
    assert taken(hub, f"org/m@{revision}") == {"a": b"other", "sub/b": b"1"}
    assert taken(hub, f"org/m@{revision}/sub") == {"b": b"1"}


def test_a_revision_can_be_a_commit(hub):
    first = hub.put("org/m", {"a": b"1"})
    hub.put("org/m", {"a": b"2"})
    assert taken(hub, f"org/m@{first}") == {"a": b"1"}


def test_below_a_repository_a_folder_or_a_file_is_taken_alone(hub):
    hub.put("org/m", FILES | {"onnx2/x": b"", "a/onnx/x": b""})
    assert set(taken(hub, "org/m/onnx")) == {"model é+.bin", "vocab.txt"}
    assert set(taken(hub, "org/m/onnx/")) == {"model é+.bin", "vocab.txt"}
    assert taken(hub, "org/m/onnx/vocab.txt") == {"vocab.txt": b"a\nb"}


def test_repositories_of_data_and_those_of_no_organisation_are_taken_too(hub):
    hub.put("datasets/org/d", {"a.bin": b"1"})
    hub.put("org/d", {"a.bin": b"2"})
    hub.put("gpt2", {"a.bin": b"3"})
    assert taken(hub, "datasets/org/d") == {"a.bin": b"1"}
    assert taken(hub, "org/d") == {"a.bin": b"2"}
    assert taken(hub, "gpt2") == taken(hub, "gpt2@main") == {"a.bin": b"3"}


def test_all_files_are_of_the_commit_that_was_listed_however_the_branch_moves(hub, tmp_path):
    first = hub.put("org/m", FILES)
    source = source_of(hub)
    listing = source.list()
    second = hub.put("org/m", {path: b"!" + data for path, data in FILES.items()})
    found = {file.path: b"".join(source.read(file, 0)) for file in listing.files}
    assert found == {path: FILES[path] for path in found}
    assert all(first in asked.path for path in found for asked in hub.reads(path))
    cache = cache_at(tmp_path)
    manifest = cache.pull(Described(name="m", source=""), source)
    source.close()
    assert manifest.revision == second
    assert installed(cache)["config.json"] == b"!{}"


def test_of_a_large_file_the_rest_is_asked_for_where_it_is(hub):
    hub.put("org/m", FILES)
    source = source_of(hub)
    file = source.list().files[-1]
    assert b"".join(source.read(file, 60_000)) == FILES["w.safetensors"][60_000:]
    source.close()
    assert [asked.start for asked in hub.reads("w.safetensors")] == [60_000, 60_000]
    assert len(hub.cdn.asked) == 1


def test_a_large_file_that_is_not_what_the_hub_says_is_refused(hub, tmp_path):
    hub.put("org/m", FILES)
    hub.repositories["org/m"].told_sha256["w.safetensors"] = "0" * 64
    cache, source = cache_at(tmp_path), source_of(hub)
    with pytest.raises(InternalError, match=f"w.safetensors has sha256 .*, expected {'0' * 64}"):
        cache.pull(Described(name="m", source=""), source)
    assert cache.inspect("m").status == "missing"
    hub.repositories["org/m"].told_sha256.clear()
    hub.cdn.asked.clear()
    cache.pull(Described(name="m", source=""), source)
    source.close()
    assert [a.start for a in hub.reads("w.safetensors")][-1] == 0  # none of it was kept
    assert installed(cache) == {k: data for k, data in FILES.items() if not k.startswith(".")}
    assert left_in(cache) == []


# ---- refusals


def test_a_repository_that_wants_a_token_is_given_to_those_who_have_it(hub):
    hub.put("org/m", FILES)
    hub.repositories["org/m"].token = TOKEN
    told = refusal(hub, "org/m", PermissionDeniedError)
    assert told.endswith("; name a secret by credential_alias")
    told = refusal(hub, "org/m", PermissionDeniedError, "hf_wrong")
    assert told.endswith("; check the secret")
    assert "hf_wrong" not in told
    assert len(taken(hub, "org/m", TOKEN)) == 4


def test_a_token_is_sent_to_the_hub_and_not_to_where_it_points(hub):
    hub.put("org/m", FILES)
    taken(hub, "org/m", TOKEN)
    assert {asked.headers["Authorization"] for asked in hub.web.asked} == {f"Bearer {TOKEN}"}
    assert len(hub.cdn.asked) == 2
    assert {asked.headers.get("Authorization") for asked in hub.cdn.asked} == {None}


def test_no_token_of_the_machine_is_sent(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.put("org/m", FILES)
    taken(hub)
    assert {asked.headers.get("Authorization") for asked in hub.web.asked} == {None}


def test_a_gated_repository_is_refused(hub):
    hub.put("org/m", FILES)
    hub.repositories["org/m"].is_gated = True
    told = refusal(hub, "org/m", PermissionDeniedError, TOKEN)
    assert "Access to this model is restricted" in told


def test_a_repository_that_is_not_there_looks_like_one_that_wants_a_token(hub):
    told = refusal(hub, "org/gone", PermissionDeniedError)
    assert "Repository Not Found" in told
    assert "Repository Not Found" in refusal(hub, "org/gone", InvalidArgumentError, TOKEN)


@pytest.mark.parametrize("path", ["org/m@gone", "org/m@gone/sub", f"org/m@{'0' * 40}"])
def test_a_revision_that_is_not_there_is_refused(hub, path):
    hub.put("org/m", FILES)
    assert "Revision Not Found" in refusal(hub, path, InvalidArgumentError)


@pytest.mark.parametrize("path", ["org/m/gone", "org/m/onn", "org/m/.gitattributes"])
def test_a_path_at_which_there_is_nothing_to_install_is_refused(hub, path):
    hub.put("org/m", FILES)
    assert "has no files to install" in refusal(hub, path, InvalidArgumentError)


@pytest.mark.parametrize("path", ["@main", "org/m@", "org/@main", "-/m", "org/m..", "org//m"])
def test_what_is_no_name_of_a_repository_is_refused(hub, path):
    refusal(hub, path, InvalidArgumentError)
    assert hub.web.asked == []


@pytest.mark.parametrize("path", ["../evil", "a/../../evil", "/evil", "a//evil", "a\\evil"])
def test_a_path_that_leads_out_of_a_repository_is_refused(hub, path):
    hub.put("org/m", {path: b"1", "a": b"2"})
    assert "path '" in refusal(hub, "org/m", InvalidArgumentError)


def test_a_hub_that_cannot_be_reached_is_told(hub):
    hub.put("org/m", FILES)
    hub.web.close()
    assert "refused" in refusal(hub, "org/m", UnavailableError)


def test_a_signature_is_not_repeated_from_the_error_of_a_library(hub):
    hub.put("org/m", FILES)
    source = source_of(hub)
    file = source.list().files[-1]
    hub.cdn.answer = lambda _: Answer(403)
    with pytest.raises(PermissionDeniedError, match=r"w.safetensors: ClientRes.*: 403") as c:
        list(source.read(file, 0))
    source.close()
    assert f"{hub.cdn.url}/org/m/" in str(c.value)
    assert "5ec4e7" not in str(c.value)


# ---- which hub


def test_the_hub_is_the_one_that_the_environment_of_a_node_says(hub, tmp_path):
    commit = hub.put("org/m", FILES)
    hub.repositories["org/m"].token = TOKEN
    environ = {"HF_ENDPOINT": hub.url, "DISCOVERY_CREDENTIAL_MY_HUB": TOKEN}
    node = Node(ArtifactSettings(root=str(tmp_path)), environ)
    wanted = Wanted(
        model=ModelName(tenant=None, name="m", version=1),
        url="hf://org/m",
        alias="my-hub",
        described=Described(name="m", source="hf://org/m"),
    )
    manifest = node.pull(wanted, room=None, progress=Progress(), stop=Stop())
    assert (manifest.source, manifest.revision) == ("hf://org/m", commit)
    assert installed(node.cache)["w.safetensors"] == FILES["w.safetensors"]


def in_a_process(url: str, secret: str, hub: Hub, certificates: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TAKE, url, secret],
        env=os.environ | {"HF_ENDPOINT": hub.url, "SSL_CERT_FILE": str(certificates)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_without_a_node_it_is_that_of_the_process_over_tls_too(tmp_path):
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    with running_hub(tls_of(authority)) as hub:
        hub.put("org/m", FILES)
        hub.repositories["org/m"].token = TOKEN
        said = in_a_process("hf://org/m", TOKEN, hub, tmp_path / "ca.pem")
        assert said == {k: len(data) for k, data in FILES.items() if not k.startswith(".")}
        said = in_a_process("hf://org/m", "", hub, tmp_path / "ca.pem")
        assert said["PermissionDeniedError"].endswith("; name a secret by credential_alias")
