"""URLs of sources: which there are, and which have a secret in them, that is not repeated."""

from __future__ import annotations

import pytest

from discovery.artifacts.credentials import PLAINTEXT
from discovery.artifacts.local import LocalSource
from discovery.artifacts.opening import (
    check_source,
    check_takes_secret,
    open_source,
    provider_of,
)
from discovery.artifacts.remote import RemoteSource
from discovery.errors import InvalidArgumentError
from tests.discovery.artifacts.places import folder_with

SECRET = "hunter2"


def refusal(url: object) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        check_source(url)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///models/m",
        "hf://org/m",
        "hf://org/m@v1.0",
        "hf://gpt2@main",
        "hf://datasets/org/m@refs%2Fpr%2F1/sub",
        "gs://bucket/m",
        "s3://bucket/m",
        "https://host:8443/m/?version=3&page=a",
        "http://127.0.0.1:80/m/",
    ],
)
def test_a_url_of_a_source_is_taken_as_it_is(url):
    assert check_source(url) == url


@pytest.mark.parametrize("path", ["/models/m", "/models/my model", "/models/50%", "/a?b#c@d"])
def test_a_path_becomes_a_url_that_opens_the_same_folder(path, tmp_path):
    folder_with(tmp_path / path[1:])
    source = open_source(check_source(f"{tmp_path}{path}"))
    assert isinstance(source, LocalSource)
    assert source.url == check_source(f"{tmp_path}{path}")
    assert len(source.list().files) == 3


@pytest.mark.parametrize("url", [None, 3, "", b"/m", ["/m"], "/a\nb", "hf://m\n"])
def test_what_is_no_text_is_refused(url):
    assert "expected a URL, or the path of a folder" in refusal(url)


@pytest.mark.parametrize("url", ["m", "./m", "../m", "file:/m", "/", "/.."])
def test_what_is_no_absolute_path_of_a_folder_is_refused(url):
    assert refusal(url) == f"source {url!r}: expected the absolute path of a folder, or a URL"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/m",
        "HF://org/m",
        "://m",
        "hf://",
        "s3:///",
        "https://..",
        "file:///",
        "file://models/m",  # below nobody's working folder
        "file://host/models/m",
    ],
)
def test_an_unknown_scheme_or_one_without_a_place_is_refused(url):
    assert refusal(url) == (
        f"source {url!r}: expected the path of a folder, or one of file://, hf://, gs://, s3://, "
        "https://, http://"
    )


@pytest.mark.parametrize("scheme", ["https", "http", "s3", "gs", "hf", "ftp"])
def test_a_url_with_a_user_and_a_password_is_refused_without_repeating_it(scheme):
    told = refusal(f"{scheme}://user:{SECRET}@host/m")
    assert told == (
        f"source {scheme}://…: has a secret in it, which would be stored; name it by "
        "credential_alias instead"
    )


def test_a_long_scheme_is_not_repeated():
    assert refusal(f"{'9' * 5000}://h/#a").startswith("source …: expected the path of a folder")


def test_a_url_with_a_user_that_is_a_secret_is_refused():
    assert "has a secret in it" in refusal(f"https://{SECRET}@host/m")


@pytest.mark.parametrize(
    "name",
    [
        *("sig", "Signature", "X-Amz-Signature", "X-Goog-Signature", "TOKEN", *sorted(PLAINTEXT)),
        *("access_token", "Private_Token", "job_token", "client_secret", "X-Amz-Security-Token"),
    ],
)
def test_a_url_with_a_signature_or_a_token_is_refused_without_repeating_it(name):
    for begin in (name, f"a=b&{name}", name.replace("n", "%6e")):
        for mark in "?#":
            told = refusal(f"https://host/m{mark}{begin}={SECRET}")
            assert told.startswith("source https://…: has a secret in it")
            assert SECRET not in told


def test_a_url_with_an_empty_signature_is_refused_too():
    assert "has a secret in it" in refusal("https://host/m?sig=")


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@host/m\n",
        f"https://user:{SECRET}@[host/m",
        f"https://user:{SECRET}@ho\u2100st/m",
        f"user:{SECRET}@host/m",
        f"user:{SECRET}@host://m",
        f"ftp://host/m?password_is={SECRET}",
    ],
)
def test_a_url_that_is_wrong_in_another_way_is_not_repeated_either(url):
    told = refusal(url)
    assert SECRET not in told
    assert "…: " in told


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("hf://org/m", "HuggingFace"),
        ("gs://b/m", "Gcs"),
        ("s3://b/m", "File"),
        ("https://h/m", "File"),
        ("file:///m", "File"),
    ],
)
def test_a_source_has_the_provider_that_claims_call_it_by(url, provider):
    assert provider_of(url) == provider
    assert open_source(url).provider == provider


@pytest.mark.parametrize("url", ["hf://org/m", "gs://b/m", "s3://b/m", "https://h/m"])
def test_what_is_encrypted_may_be_shown_a_secret(url):
    check_takes_secret(url)
    assert isinstance(open_source(url, SECRET), RemoteSource)


def test_nobody_shows_a_secret_in_the_clear():
    with pytest.raises(InvalidArgumentError, match="no secret is sent to http://, expected"):
        check_takes_secret("http://h/m")
