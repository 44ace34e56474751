"""Buckets of S3 and of Google as sources, by their own libraries."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from discovery.artifacts import bucket as product
from discovery.artifacts.remote import RemoteSource
from discovery.errors import InvalidArgumentError, PermissionDeniedError, UnavailableError
from tests.support.buckets import S3, Buckets, Google

WEIGHTS = os.urandom(100_000)
OBJECTS = {
    "m/": b"",
    "m/.git/config": b"hidden",
    "m/config.json": b"{}",
    "m/manifest.json": b"{}",
    "m/sub/": b"",
    "m/sub/w é+%20.bin": WEIGHTS,
    "m/z": b"",
    "m2/other": b"1",
}
TAKEN = {"config.json": b"{}", "sub/w é+%20.bin": WEIGHTS, "z": b""}


@pytest.fixture(autouse=True)
def _filled(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets.put("models", OBJECTS)
    buckets.secret = buckets.any_secret
    monkeypatch.setattr(product, "_PIECE_BYTES", 30_000)


def source_of(buckets: Buckets, path: str = "models/m", secret: str | None = "") -> RemoteSource:
    secret = buckets.any_secret if secret == "" else secret
    return RemoteSource(f"{buckets.scheme}://{path}", "File", secret)


def taken(buckets: Buckets, path: str = "models/m") -> dict[str, bytes]:
    with closing(source_of(buckets, path)) as source:
        return {file.path: b"".join(source.read(file, 0)) for file in source.list().files}


def refusal(
    buckets: Buckets, kind: type[Exception], path: str = "models/m", secret: str | None = ""
) -> str:
    with closing(source_of(buckets, path, secret)) as source, pytest.raises(kind) as caught:
        source.list()
    return str(caught.value)


# ---- what is taken


def test_all_objects_below_a_path_are_taken_but_hidden_ones_and_markers_of_folders(buckets):
    assert taken(buckets) == TAKEN
    assert taken(buckets, "models/m/") == TAKEN
    whole = taken(buckets, "models")
    assert whole == {f"m/{path}": data for path, data in TAKEN.items()} | {"m2/other": b"1"}


def test_one_object_is_taken_under_its_name(buckets):
    assert taken(buckets, "models/m/config.json") == {"config.json": b"{}"}
    assert taken(buckets, "models/m/sub/w é+%20.bin") == {"w é+%20.bin": WEIGHTS}


def test_all_pages_of_a_listing_are_taken(buckets):
    buckets.page = 2
    assert taken(buckets) == TAKEN


def test_an_object_is_asked_for_in_pieces_from_any_place_on(buckets):
    with closing(source_of(buckets)) as source:
        file = source.list().files[1]
        assert b"".join(source.read(file, 12_345)) == WEIGHTS[12_345:]
        assert list(source.read(file, 100_000)) == []
    asked = buckets.reads(file.path)
    assert [one.start for one in asked] == [12_345, 42_345, 72_345]
    assert asked[-1].headers["Range"] == "bytes=72345-99999"


def test_the_revision_is_another_when_an_object_is(buckets):
    with closing(source_of(buckets)) as source:
        first = source.list().revision
        assert source.list().revision == first
        buckets.put("models", {"m/config.json": b"[]"})
        assert source.list().revision != first


@pytest.mark.parametrize("key", ["m/../evil", "m//evil", "m/a\\evil"])
def test_an_object_whose_name_leads_out_of_the_folder_is_refused(buckets, key):
    buckets.put("models", {key: b"1"})
    told = refusal(buckets, InvalidArgumentError)
    assert told.startswith(f"source {buckets.scheme}://models/m: path '")


# ---- objects that change


def test_an_object_that_has_changed_since_it_was_listed_is_refused(buckets):
    with closing(source_of(buckets)) as source:
        file = source.list().files[1]
        buckets.put("models", {"m/sub/w é+%20.bin": WEIGHTS[::-1]})
        with pytest.raises(UnavailableError, match=r"://models/m: sub/w é\+%20.bin: "):
            list(source.read(file, 0))


def test_an_object_that_changes_between_two_pieces_is_refused(buckets):
    with closing(source_of(buckets)) as source:
        file = source.list().files[1]
        pieces = source.read(file, 0)
        assert next(pieces) == WEIGHTS[:30_000]
        buckets.put("models", {"m/sub/w é+%20.bin": WEIGHTS[::-1]})
        with pytest.raises(UnavailableError):
            list(pieces)


def test_an_object_alone_that_has_changed_since_it_was_listed_is_refused(buckets):
    with closing(source_of(buckets, "models/m/config.json")) as source:
        file = source.list().files[0]
        buckets.put("models", {"m/config.json": b"[]"})
        with pytest.raises(UnavailableError):
            list(source.read(file, 0))


def test_an_object_that_is_gone_is_told_as_that(buckets):
    with closing(source_of(buckets)) as source:
        file = source.list().files[0]
        del buckets.objects["models/m/config.json"]
        with pytest.raises(UnavailableError, match=r"://models/m: config.json: "):
            list(source.read(file, 0))


# ---- secrets and refusals


def test_whoever_has_no_secret_is_refused_and_told_how_to_name_one(buckets):
    told = refusal(buckets, PermissionDeniedError, secret=None)
    assert told.endswith("; name a secret by credential_alias")


@pytest.mark.parametrize("wrong", ["AKID8:aWs/+secret", "AKID7:another"])
def test_a_wrong_secret_is_refused_and_not_repeated(buckets, wrong):
    told = refusal(buckets, PermissionDeniedError, secret=wrong)
    assert told.endswith("; check the secret")
    parts = [wrong, *wrong.split(":")] if buckets.scheme == "s3" else [wrong]
    assert not any(part in told for part in parts)


@pytest.mark.parametrize("path", ["models/m/conf", "models/m/manifest.json"])
def test_a_path_at_which_there_is_nothing_to_install_is_refused(buckets, path):
    assert "has no files to install" in refusal(buckets, InvalidArgumentError, path)


def test_a_bucket_that_is_not_there_is_refused(buckets):
    refusal(buckets, InvalidArgumentError, "gone/m")


# ---- of one kind only


@pytest.mark.parametrize("buckets", [S3], indirect=True, ids=["s3"])
@pytest.mark.parametrize("secret", ["AKID7", "AKID7:", ":key"])
def test_a_secret_for_s3_has_two_parts(buckets, secret):
    told = refusal(buckets, InvalidArgumentError, secret=secret)
    assert told == "a secret for s3:// is expected to be the id of a key, ':' and the key"


@pytest.mark.parametrize("buckets", [S3], indirect=True, ids=["s3"])
def test_without_a_secret_s3_takes_that_of_the_machine(buckets, monkeypatch):
    key_id, _, key = buckets.any_secret.partition(":")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
    with closing(source_of(buckets, secret=None)) as source:
        assert len(source.list().files) == 3


@pytest.mark.parametrize("buckets", [S3], indirect=True, ids=["s3"])
def test_of_s3_a_piece_whose_connection_is_cut_is_asked_for_again(buckets):
    buckets.web.cut_after["/models/m/sub/w é+%20.bin"] = [10_000, 0]
    assert taken(buckets) == TAKEN
    starts = [asked.start for asked in buckets.reads("sub/w é+%20.bin")]
    assert starts == [0, 0, 0, 30_000, 60_000, 90_000]


@pytest.mark.parametrize("buckets", [Google], indirect=True, ids=["gs"])
def test_of_google_what_all_may_read_needs_no_secret(buckets):
    buckets.secret = None
    with closing(source_of(buckets, secret=None)) as source:
        assert len(source.list().files) == 3
    assert {asked.headers.get("Authorization") for asked in buckets.web.asked} == {None}


@pytest.mark.parametrize("buckets", [Google], indirect=True, ids=["gs"])
def test_a_token_of_google_is_not_taken_for_the_name_of_a_file(buckets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / buckets.any_secret).write_text("{}")
    assert taken(buckets) == TAKEN
