"""Web servers as sources: what of them is taken, and how a file comes whole over a bad line."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trustme

from discovery.artifacts import web as product
from discovery.artifacts.remote import RemoteSource
from discovery.artifacts.stopping import Stop, StoppedError
from discovery.errors import InvalidArgumentError, PermissionDeniedError, UnavailableError
from tests.discovery.artifacts.places import cache_at, installed, left_in
from tests.discovery.artifacts.test_manifest import Described
from tests.support.web import Answer, Files, WebServer, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

WEIGHTS = os.urandom(3_000_000)
LOST = 700_000  # at most, of what came before a connection broke
SECRET = "hunter2-token"


@pytest.fixture
def files() -> Files:
    return Files({"/m/config.json": b"{}", "/m/sub/w.bin": WEIGHTS})


@pytest.fixture
def server(files: Files) -> Iterator[WebServer]:
    with web_server(files) as one:
        yield one


@pytest.fixture
def source(server: WebServer) -> Iterator[RemoteSource]:
    with opened(f"{server.url}/m/") as one:
        yield one


def opened(url: str, secret: str | None = None) -> closing[RemoteSource]:
    return closing(RemoteSource(url, "File", secret))


def read(source: RemoteSource, path: str = "sub/w.bin", start: int = 0) -> bytes:
    (file,) = (file for file in source.list().files if file.path == path)
    return b"".join(source.read(file, start))


def paths(url: str, secret: str | None = None) -> list[str]:
    with opened(url, secret) as source:
        return [file.path for file in source.list().files]


def refusal(url: str, kind: type[Exception], secret: str | None = None) -> str:
    with pytest.raises(kind) as caught:
        paths(url, secret)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert str(caught.value).startswith(f"source {url}: ")
    return str(caught.value)


# ---- what is taken


def test_a_single_file_is_taken_under_its_name(server, files):
    assert paths(f"{server.url}/m/config.json") == ["config.json"]
    files.files["/m/my model.gguf"] = b"1"
    assert paths(f"{server.url}/m/my%20model.gguf?download=true") == ["my model.gguf"]


def test_of_a_folder_what_its_page_has_links_to_is_taken_and_what_is_below(source, files):
    files.files |= {"/m/a/b/c/d é+.bin": b"1", "/m/a/b/x": b"22", "/n/other": b"3", "/m2": b"4"}
    listing = source.list()
    assert [(file.path, file.size_bytes, file.sha256) for file in listing.files] == [
        ("a/b/c/d é+.bin", 1, None),
        ("a/b/x", 2, None),
        ("config.json", 2, None),
        ("sub/w.bin", 3_000_000, None),
    ]
    for file in listing.files:
        assert b"".join(source.read(file, 0)) == files.files[f"/m/{file.path}"]


def test_a_folder_without_its_slash_is_not_taken_for_a_file(server, files):
    def answer(asked):
        return Answer(301, headers={"Location": "/m/"}) if asked.path == "/m" else files(asked)

    server.answer = answer
    told = refusal(f"{server.url}/m", InvalidArgumentError)
    assert told == f"source {server.url}/m: is a folder; end it with '/'"


def test_hidden_files_and_manifests_are_left_out(server, files):
    files.files |= {"/m/.git/a": b"", "/m/manifest.json": b"", "/m/sub/.x": b"", "/h/.x": b""}
    assert paths(f"{server.url}/m/") == ["config.json", "sub/w.bin"]
    assert "has no files to install" in refusal(f"{server.url}/h/", InvalidArgumentError)
    assert "has no files" in refusal(f"{server.url}/m/manifest.json", InvalidArgumentError)


def test_two_links_to_one_file_are_one(server, files):
    names = ["a", "./a", "%61", "sub/../a", "b/", "b/../b/", "b/c"]
    files.files |= {"/two/a": b"1", "/two/b/c": b"2"}
    files.files["/two/"] = "".join(f"<a href='{name}'>x</a>" for name in names).encode()
    assert paths(f"{server.url}/two/") == ["a", "b/c"]


def test_links_are_taken_however_they_are_written(server, files):
    files.files |= {"/odd/a&b": b"1", "/odd/c": b"1", "/odd/d e": b"1", "/odd/f": b"1"}
    page = (
        "<A class='x' HREF = a&amp;b>1</A><a\nhref='./c#part'>2</a> <a href=\"d e\">3</a>"
        f"<a href='{server.url}/odd/f'>4</a><a href='//127.0.0.1:{server.port}/odd/f'>5</a>"
    )
    files.files["/odd/"] = page.encode()
    assert paths(f"{server.url}/odd/") == ["a&b", "c", "d e", "f"]


@pytest.mark.parametrize(
    "link",
    [
        *("../evil", "../../evil", "sub/../../evil", "/evil", "https://evil.example/m/evil"),
        *("//evil.example/m/evil", "file:///etc/passwd", "mailto:e@x", "javascript:evil()"),
        *("http://[evil", "http://[::1/evil", "?C=N;O=D", "evil?x=1", "#evil", "", ".", "/m"),
    ],
)
def test_a_link_out_of_the_folder_is_not_followed(server, files, link):
    files.more_links = [link]
    assert paths(f"{server.url}/m/") == ["config.json", "sub/w.bin"]
    assert all(asked.path.startswith("/m/") for asked in server.asked)


@pytest.mark.parametrize(
    "link", ["%2e%2e/evil", "..%2fevil", "sub/%2e%2e%2f%2e%2e%2fevil", "a%5cb"]
)
def test_a_link_whose_name_leads_out_of_the_folder_is_refused(server, files, link):
    files.more_links = [link]
    assert "path '" in refusal(f"{server.url}/m/", InvalidArgumentError)
    assert not any("evil" in asked.target for asked in server.asked)


def test_folders_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(product, "_MOST_FOLDERS", 20)
    page = Answer(200, b"<a href='deeper/'>x</a>")
    with web_server(lambda _: page) as server:
        assert "has more than 20 folders" in refusal(f"{server.url}/m/", InvalidArgumentError)
        assert len(server.asked) == 20


def test_a_server_that_knows_no_head_is_asked_in_full(source, server, files):
    def answer(asked):
        return Answer(405) if asked.method == "HEAD" else files(asked)

    server.answer = answer
    assert read(source) == WEIGHTS


def test_a_file_of_unknown_length_is_refused(server, files):
    files.headers["/m/config.json"] = {"Content-Encoding": "gzip"}
    told = refusal(f"{server.url}/m/", InvalidArgumentError)
    assert told.endswith("the server does not say how long config.json is")


def test_an_empty_file_is_not_asked_for(source, server, files):
    files.files["/m/sub/w.bin"] = b""
    assert read(source) == b""
    assert server.of("/m/sub/w.bin") == []


def test_the_revision_is_another_when_a_file_is(source, server, files):
    first = source.list().revision
    assert source.list().revision == first
    assert len(first) == 40
    files.files["/m/config.json"] = b"[]"
    second = source.list().revision
    files.files["/m/new"] = b""
    assert len({first, second, source.list().revision}) == 3


# ---- over a bad line


def test_the_rest_of_a_file_is_all_that_is_asked_for(source, server):
    assert read(source, start=123_456) == WEIGHTS[123_456:]
    assert [asked.start for asked in server.of("/m/sub/w.bin")] == [123_456]


@pytest.mark.parametrize("has_ranges", [True, False])
def test_of_a_connection_that_is_cut_the_rest_is_asked_for(
    source, server, files, has_ranges, monkeypatch
):
    monkeypatch.setattr(product, "_PAUSE_S", 0)
    files.has_ranges = has_ranges
    server.cut_after["/m/sub/w.bin"] = [1_500_000, 1_000_000 if has_ranges else 2_500_000, 0]
    assert read(source) == WEIGHTS
    first, second, third, fourth = [asked.start for asked in server.of("/m/sub/w.bin")]
    assert first == 0
    assert 1_500_000 - LOST <= second <= 1_500_000
    assert second + 100_000 <= third == fourth <= 2_500_000


def test_what_a_server_without_ranges_sends_again_is_passed_over(source, server, files):
    files.has_ranges = False
    assert read(source, start=2_999_999) == WEIGHTS[2_999_999:]


def test_a_part_that_was_not_asked_for_is_not_taken_for_it(source, server, files):
    files.headers["/m/sub/w.bin"] = {"Content-Range": "bytes 7-2999999/3000000"}
    files.has_ranges = False
    assert read(source, start=1000) == WEIGHTS[1000:]  # it was the whole file after all


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_asked_for_again(source, server, files, status, monkeypatch):
    monkeypatch.setattr(product, "_PAUSE_S", 0)
    answers = [Answer(status)] * 3

    def answer(asked):
        is_read = asked.method == "GET" and asked.path == "/m/sub/w.bin"
        return answers.pop() if is_read and answers else files(asked)

    server.answer = answer
    assert read(source) == WEIGHTS
    assert len(server.of("/m/sub/w.bin")) == 4


def test_a_server_that_sends_nothing_more_is_given_up_after_some_attempts(
    source, server, monkeypatch
):
    monkeypatch.setattr(product, "_PAUSE_S", 0)
    server.cut_after["/m/sub/w.bin"] = [1_500_000] + [0] * 9
    with pytest.raises(UnavailableError, match=r"/m/: sub/w.bin: Client.*Error: "):
        read(source)
    assert len(server.of("/m/sub/w.bin")) == 5


@pytest.mark.parametrize("status", [404, 410, 416])
def test_what_is_gone_is_not_asked_for_again(source, server, files, status):
    listing = source.list()
    server.answer = lambda _: Answer(status)
    with pytest.raises(UnavailableError, match=r"config.json: "):
        list(source.read(listing.files[0], 0))
    assert len(server.of("/m/config.json")) == 1


def test_a_pull_can_be_stopped_while_it_waits_for_a_server(source, server, files, tmp_path):
    stop = Stop()

    def answer(asked):
        if asked.method == "GET" and asked.path == "/m/config.json":
            stop.set()
            return Answer(503)
        return files(asked)

    server.answer = answer
    with pytest.raises(StoppedError):
        cache_at(tmp_path).pull(Described(name="m", source=""), source, stop=stop)


def test_a_server_that_falls_silent_is_asked_again(source, server, monkeypatch):
    monkeypatch.setattr(product, "SILENCE_S", 0.5)
    monkeypatch.setattr(product, "_PAUSE_S", 0.1)
    listing = source.list()
    server.held_after["/m/sub/w.bin"] = 100_000
    pieces = source.read(listing.files[1], 0)
    got = next(pieces)
    while len(got) < 100_000:
        got += next(pieces)
    server.held_after.clear()
    rest = list(pieces)
    assert rest[0] == b""  # while it waits
    assert got + b"".join(rest) == WEIGHTS
    assert [asked.start for asked in server.of("/m/sub/w.bin")] == [0, 100_000]


# ---- files that change


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_file_that_has_changed_since_it_was_listed_is_refused(source, files, header):
    files.headers["/m/config.json"] = {"ETag": "", header: "old"}
    listing = source.list()
    files.headers["/m/config.json"][header] = "new"
    with pytest.raises(UnavailableError, match=r"config.json: .*it has changed since"):
        list(source.read(listing.files[0], 0))


def test_a_file_that_changes_between_two_parts_is_refused(source, server, files, monkeypatch):
    monkeypatch.setattr(product, "_PAUSE_S", 0)
    listing = source.list()
    server.cut_after["/m/sub/w.bin"] = [1_500_000]
    pieces = source.read(listing.files[1], 0)
    assert next(pieces)
    files.files["/m/sub/w.bin"] = WEIGHTS[::-1]
    with pytest.raises(UnavailableError, match=r"sub/w.bin: .*it has changed since"):
        list(pieces)


def test_a_weak_tag_is_the_same_as_a_strong_one(source, files):
    files.headers["/m/sub/w.bin"] = {"ETag": 'W/"1"'}
    listing = source.list()
    files.headers["/m/sub/w.bin"] = {"ETag": '"1"'}
    assert b"".join(source.read(listing.files[1], 0)) == WEIGHTS


@pytest.mark.parametrize("data", [WEIGHTS[:-1], WEIGHTS + b"1", b""])
def test_a_file_of_another_length_than_was_listed_is_not_installed(
    source, server, files, data, tmp_path
):
    def answer(asked):
        if asked.method == "GET" and asked.path == "/m/sub/w.bin":
            return Answer(200, data)
        return Answer(200, files(asked).body)  # with no tag

    server.answer = answer
    cache = cache_at(tmp_path)
    with pytest.raises(UnavailableError, match=rf"w.bin has {len(data)} bytes, expected 3000000"):
        cache.pull(Described(name="m", source=""), source)
    assert cache.inspect("m").status == "missing"
    server.answer = files
    cache.pull(Described(name="m", source=""), source)
    assert installed(cache) == {"config.json": b"{}", "sub/w.bin": WEIGHTS}
    assert left_in(cache) == []


# ---- secrets and refusals


def test_a_secret_is_sent_with_every_request_and_none_without(server, files):
    paths(f"{server.url}/m/")
    assert {asked.headers.get("Authorization") for asked in server.asked} == {None}
    server.asked.clear()
    files.secret = SECRET
    with opened(f"{server.url}/m/", SECRET) as source:
        assert read(source) == WEIGHTS
    sent = {asked.headers.get("Authorization") for asked in server.asked}
    assert sent == {f"Bearer {SECRET}"}


def test_a_secret_is_not_sent_to_where_a_server_points(server, files):
    def elsewhere(asked):
        return Answer(302, headers={"Location": f"{server.url}{asked.target}"})

    with web_server(elsewhere) as other:
        with opened(f"{other.url}/m/sub/w.bin", SECRET) as source:
            assert read(source, "w.bin") == WEIGHTS
        assert {asked.headers["Authorization"] for asked in other.asked} == {f"Bearer {SECRET}"}
    assert {asked.headers.get("Authorization") for asked in server.asked} == {None}


@pytest.mark.parametrize("path", ["/m/", "/m/config.json"])
def test_a_secret_that_is_missing_or_wrong_is_told_as_that(server, files, path):
    files.secret = SECRET
    told = refusal(f"{server.url}{path}", PermissionDeniedError)
    assert "401" in told
    assert told.endswith("; name a secret by credential_alias")
    told = refusal(f"{server.url}{path}", PermissionDeniedError, "wrong-token")
    assert "403" in told
    assert told.endswith("; check the secret")
    assert "wrong-token" not in told


@pytest.mark.parametrize("path", ["/gone/", "/m/gone.bin"])
def test_what_is_not_there_is_told_with_the_source(server, path):
    refusal(f"{server.url}{path}", InvalidArgumentError)


@pytest.mark.parametrize("path", ["/m/", "/m/config.json"])
def test_nobody_there_and_a_server_in_trouble_are_told_as_something_that_may_pass(server, path):
    server.answer = lambda _: Answer(500)
    assert "500" in refusal(f"{server.url}{path}", UnavailableError)
    server.close()
    assert "Cannot connect" in refusal(f"{server.url}{path}", UnavailableError)


def test_a_query_is_not_repeated_from_the_error_of_a_library(server):
    server.answer = lambda asked: (
        Answer(403)
        if "?" in asked.target
        else Answer(302, headers={"Location": f"{server.url}/s?X-Amz-Signature=5ec4e7"})
    )
    told = refusal(f"{server.url}/m", PermissionDeniedError)
    assert f"{server.url}/s?…" in told
    assert "5ec4e7" not in told


# ---- the way there


def test_a_proxy_of_the_environment_is_used_but_for_what_it_says(files, monkeypatch):
    with web_server(files) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with opened("http://models.example/m/") as source:
            assert read(source) == WEIGHTS
        assert {asked.target.split("/m/")[0] for asked in proxy.asked} == {"http://models.example"}
        count = len(proxy.asked)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with web_server(files) as server:
            assert paths(f"{server.url}/m/config.json") == ["config.json"]
        assert len(proxy.asked) == count


TAKE = """
import json, sys
from discovery.artifacts.remote import RemoteSource
from discovery.errors import DiscoveryError

url, secret = sys.argv[1:]
source = RemoteSource(url, "File", secret or None)
try:
    listing = source.list()
    said = {file.path: len(b"".join(source.read(file, 0))) for file in listing.files}
except DiscoveryError as error:
    said = {type(error).__name__: str(error)}
source.close()
print(json.dumps(said))
"""


def taken(url: str, secret: str = "", **environ: str) -> dict[str, object]:
    """What a process of its own takes, or the error that it meets."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TAKE, url, secret],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_server_whose_certificate_the_machine_trusts_is_used_and_no_other(
    authority, files, tmp_path
):
    files.secret = SECRET
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    with web_server(files, tls_of(authority)) as server:
        url = f"{server.url}/m/"
        said = taken(url, SECRET, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        assert said == {"config.json": 2, "sub/w.bin": 3_000_000}
        server.asked.clear()
        (told,) = taken(url, SECRET).items()
        assert told[0] == "InvalidArgumentError"
        assert "certificate verify failed" in told[1]
        assert server.asked == []
