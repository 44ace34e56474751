"""Names of entries and paths below them; spec/models.md §3, "names"."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.artifacts.entry import (
    check_entry,
    check_path,
    claimed_name,
    entry_of,
    is_skipped,
)
from discovery.errors import InvalidArgumentError

PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", ["m", "Org_m-3", "0", "-", "_", "m" * 200])
def test_an_entry_has_letters_digits_underscores_and_hyphens(name):
    assert check_entry(name) == name


def test_an_entry_is_trimmed():
    assert check_entry(" \tm-1\n ") == "m-1"


@pytest.mark.parametrize(
    "name", ["", "  ", "a b", "a.b", "a/b", "..", "lost+found", "é", "a\n-b", "\u0660", "m" * 201]
)
def test_what_is_no_entry_is_refused(name):
    with pytest.raises(InvalidArgumentError, match=r"cache entry .*: expected 1 to 200 letters"):
        check_entry(name)


@pytest.mark.parametrize("name", [None, 3, b"m", ["m"]])
def test_what_is_no_text_is_no_entry(name):
    with pytest.raises(InvalidArgumentError, match="cache entry "):
        check_entry(name)


@pytest.mark.parametrize(
    ("name", "version", "tenant", "readable", "original"),
    [
        ("org/m-3.1", 2, None, "org--m-3-1-2", "org/m-3.1@2"),
        ("org/All-MiniLM_L6-v2", 1, None, "org--all-minilm-l6-v2-1", "org/All-MiniLM_L6-v2@1"),
        ("m", 1, "t", "t--m-1", "t::m@1"),
        ("..", 1, None, "1", "..@1"),
    ],
)
def test_a_model_of_the_catalog_has_an_entry_of_its_name_and_version(
    name, version, tenant, readable, original
):
    assert claimed_name(name, version, tenant) == original
    assert entry_of(name, version, tenant) == f"{readable}-{hashed(original)}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a.b", 1), ("a-b", 1)),
        (("A", 1), ("a", 1)),
        (("a/b", 1), ("a--b", 1)),
        (("m", 1), ("m", 2)),
        (("m", 11), ("m1", 1)),
        (("m", 1, "t"), ("t--m", 1)),
        (("m", 1, "t"), ("m", 1, "u")),
        (("m" * 300, 1), ("m" * 300, 2)),
    ],
)
def test_no_two_models_share_an_entry(one, other):
    assert entry_of(*one) != entry_of(*other)


@given(PARTS, st.integers(1, 10**6), st.none() | PARTS)
def test_the_entry_of_every_model_is_one(name, version, tenant):
    entry = entry_of(name, version, tenant)
    assert check_entry(entry) == entry == entry_of(name, version, tenant)
    assert re.fullmatch("[a-z0-9-]{12,200}", entry)


@pytest.mark.parametrize("path", ["f", "a/b/c.bin", "a b", "..a", "a..", "...", "é", "a" * 4096])
def test_a_relative_path_is_taken(path):
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "a\\b", "C:\\x", "\\\\host\\x"])
def test_an_absolute_path_is_refused(path):
    with pytest.raises(InvalidArgumentError, match="expected a relative path"):
        check_path(path)


@pytest.mark.parametrize("path", ["..", "a/..", "../a", "a/../b", ".", "a/./b", "a//b", "a/"])
def test_a_path_that_leads_up_or_nowhere_is_refused(path):
    with pytest.raises(InvalidArgumentError, match=r"expected no '\.', '\.\.' or '//' in it"):
        check_path(path)


@pytest.mark.parametrize(
    "path", ["", "a\0b", "a\nb", "\x7f", "\udcff", "a" * 4097, "é" * 2049, None, 3, b"a"]
)
def test_a_path_that_is_no_text_is_refused(path):
    with pytest.raises(InvalidArgumentError, match="expected 1 to 4096 bytes of UTF-8"):
        check_path(path)


def test_hidden_files_and_manifests_are_skipped():
    names = [".git", ".hidden", "manifest.json", "manifest.json.bak", "Manifest.json", "a.", "a"]
    assert [name for name in names if is_skipped(name)] == [".git", ".hidden", "manifest.json"]
