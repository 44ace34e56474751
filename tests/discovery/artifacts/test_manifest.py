"""The manifest: its schema, its defaults, and what of it is refused; spec/models.md §3."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.artifacts.entry import check_path
from discovery.artifacts.manifest import (
    Described,
    Manifest,
    ManifestFile,
    decode_manifest,
    manifest_of,
)
from discovery.errors import InvalidArgumentError

HASH = "0123456789abcdef" * 4
WIRE = {
    "name": "m",
    "source": "hf://org/m",
    "revision": "c0ffee",
    "task": "embedding",
    "engine": "candle",
    "dimensions": 384,
    "installed_at_unix_ms": 1_700_000_000_000,
    "total_size_bytes": 7,
    "files": [
        {"path": "a.bin", "sha256": HASH, "size_bytes": 3},
        {"path": "sub/b.bin", "sha256": HASH, "size_bytes": 4},
    ],
}
MANIFEST = Manifest(
    name="m",
    source="hf://org/m",
    revision="c0ffee",
    dimensions=384,
    installed_at_unix_ms=1_700_000_000_000,
    total_size_bytes=7,
    files=[
        ManifestFile(path="a.bin", sha256=HASH, size_bytes=3),
        ManifestFile(path="sub/b.bin", sha256=HASH, size_bytes=4),
    ],
)


def with_file(**changes: object) -> dict:
    """The map with a last file that is changed; None leaves a field out."""
    file = {**WIRE["files"][1], **changes}
    return {**WIRE, "files": [WIRE["files"][0], {k: v for k, v in file.items() if v is not None}]}


def test_engine_task_and_dimensions_have_defaults():
    described = Described(name="m", source="file:///m")
    assert (described.engine, described.task, described.dimensions) == ("candle", "embedding", 0)
    assert described.revision == ""


def test_a_manifest_is_json_with_the_fields_of_its_source():
    assert json.loads(MANIFEST.encode()) == WIRE
    assert MANIFEST.encode().endswith(b"}\n")
    assert decode_manifest(MANIFEST.encode()) == MANIFEST
    assert MANIFEST.to_wire() == WIRE


def test_fields_that_later_versions_add_are_left_alone():
    assert manifest_of({**WIRE, "licence": "MIT"}) == MANIFEST


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def is_path(text: str) -> bool:
    try:
        return bool(check_path(text))
    except InvalidArgumentError:
        return False


@given(
    TEXTS,
    TEXTS,
    st.integers(0, 2**63 - 1),
    st.dictionaries(TEXTS.filter(is_path), st.integers(0, 2**50), min_size=1, max_size=4),
)
def test_every_manifest_is_read_as_it_was_written(source, task, number, sizes):
    manifest = Manifest(
        name="m",
        source=source,
        revision=task,
        task=task,
        engine=source,
        dimensions=number,
        installed_at_unix_ms=number,
        total_size_bytes=sum(sizes.values()),
        files=[ManifestFile(path=p, sha256=HASH, size_bytes=n) for p, n in sizes.items()],
    )
    assert decode_manifest(manifest.encode()) == manifest


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000, b'{"dimensions": ' + b"1" * 5000 + b"}", b"{}x"],
)
def test_what_is_no_json_is_called_so(data):
    with pytest.raises(InvalidArgumentError, match=r"^manifest is not valid JSON: "):
        decode_manifest(data)


@pytest.mark.parametrize("value", [[], None, 3, "m"])
def test_what_is_no_object_is_an_invalid_schema(value):
    with pytest.raises(InvalidArgumentError, match=r"^manifest schema invalid: expected an object"):
        decode_manifest(json.dumps(value).encode())


@pytest.mark.parametrize("name", ["name", "source", "revision", "task", "engine"])
@pytest.mark.parametrize("value", [None, 3, ["m"], "\ud800"])
def test_a_text_that_is_none_is_named(name, value):
    with pytest.raises(InvalidArgumentError, match=f"{name}: expected a text, got "):
        manifest_of({**WIRE, name: value})


@pytest.mark.parametrize("name", ["dimensions", "installed_at_unix_ms", "total_size_bytes"])
@pytest.mark.parametrize("value", [None, "3", 1.0, True, -1, 2**63])
def test_a_number_that_is_none_is_named(name, value):
    with pytest.raises(InvalidArgumentError, match=f"{name}: expected a number of 0 or more"):
        manifest_of({**WIRE, name: value})


@pytest.mark.parametrize("name", WIRE)
def test_a_field_that_is_missing_is_named(name):
    value = {key: value for key, value in WIRE.items() if key != name}
    with pytest.raises(InvalidArgumentError, match=f"{name}: expected"):
        manifest_of(value)


def test_the_name_is_that_of_an_entry():
    with pytest.raises(InvalidArgumentError, match=r"cache entry '../m'"):
        manifest_of({**WIRE, "name": "../m"})


@pytest.mark.parametrize("files", [None, {}, "a"])
def test_files_are_a_list(files):
    with pytest.raises(InvalidArgumentError, match="files: expected a list"):
        manifest_of({**WIRE, "files": files})


@pytest.mark.parametrize("files", [[], [WIRE["files"][0], WIRE["files"][0]]])
def test_there_are_files_and_each_has_its_own_path(files):
    with pytest.raises(InvalidArgumentError, match="files: expected one or more, each with a path"):
        manifest_of({**WIRE, "files": files})


def test_a_file_is_an_object():
    with pytest.raises(InvalidArgumentError, match=r"files\[1\]: expected an object, got 'b'"):
        manifest_of({**WIRE, "files": [WIRE["files"][0], "b"]})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": None}, "path None"),
        ({"path": "/etc/passwd"}, "expected a relative path"),
        ({"path": "a/../../b"}, r"expected no '\.', '\.\.'"),
        ({"sha256": None}, "sha256: expected a text"),
        ({"sha256": HASH.upper()}, "expected 64 hexadecimal digits in lower case"),
        ({"sha256": HASH[1:]}, "expected 64 hexadecimal digits"),
        ({"sha256": HASH + "\n"}, "expected 64 hexadecimal digits"),
        ({"size_bytes": None}, "size_bytes: expected a number"),
        ({"size_bytes": -1}, "size_bytes: expected a number"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(change, told):
    with pytest.raises(InvalidArgumentError, match=rf"^files\[1\]: .*{told}"):
        manifest_of(with_file(**change))


def test_the_total_is_the_sum_of_the_files():
    with pytest.raises(InvalidArgumentError, match=r"total_size_bytes 7: expected .* files, 8"):
        manifest_of(with_file(size_bytes=5))
