"""Sources afar, of all kinds: what was cut off goes on, and secrets are nowhere to be found."""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

import pytest

from discovery.artifacts import bucket, copying, web
from discovery.artifacts.manifest import Described
from discovery.artifacts.remote import RemoteSource
from discovery.artifacts.stopping import Progress, Stop, StoppedError
from discovery.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from tests.discovery.artifacts.places import cache_at, installed, left_in
from tests.support.buckets import S3, Google, running
from tests.support.web import Answer, Files, web_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from discovery.artifacts.cache import Cache
    from discovery.artifacts.manifest import Manifest
    from tests.support.buckets import Buckets
    from tests.support.hub import Hub
    from tests.support.web import Asked, WebServer

WEIGHTS = os.urandom(3_000_000)
FILES = {"config.json": b"{}", "w.safetensors": WEIGHTS}
LISTED = {"config.json": b"[]", "w.safetensors": WEIGHTS[1:] + b"1"}  # what it has next,
CHANGED = {"config.json": b"{}", "w.safetensors": WEIGHTS[::-1]}  # and after that
NONSENSE = Answer(200, b"<{nonsense", {"Content-Type": "application/json"})


class Place(Protocol):
    """A server of some kind that has a model."""

    url: str
    hub: str | None
    secret: str
    server: WebServer  # of the bytes of the weights
    goes_on: bool  # with what was listed, when that changes while it is read
    has_versions: bool  # and what was listed can still be read

    def put(self, files: Mapping[str, bytes]) -> None:
        """Have these files, and want the secret."""

    def reads(self, path: str) -> list[Asked]:
        """The requests for the bytes of a file."""

    def nonsense(self) -> None:
        """Answer nonsense from now on."""


class WebPlace:
    secret = "s3cr3t-of-web"
    hub = None
    goes_on = True  # one stream
    has_versions = False

    def __init__(self, server: WebServer) -> None:
        self.server, self.url = server, f"{server.url}/m/"

    def put(self, files: Mapping[str, bytes]) -> None:
        self.server.answer = Files({f"/m/{path}": data for path, data in files.items()})
        self.server.answer.secret = self.secret

    def reads(self, path: str) -> list[Asked]:
        return self.server.of(f"/m/{path}")

    def nonsense(self) -> None:
        self.server.answer = lambda _: NONSENSE


class HubPlace:
    secret = "hf_s3cr3t"
    url = "hf://org/m"
    goes_on = has_versions = True  # commits

    def __init__(self, hub: Hub) -> None:
        self._hub, self.hub, self.server = hub, hub.url, hub.cdn

    def put(self, files: Mapping[str, bytes]) -> None:
        self._hub.put("org/m", files)
        self._hub.repositories["org/m"].token = self.secret

    def reads(self, path: str) -> list[Asked]:
        return [asked for asked in self._hub.reads(path) if asked in self.server.asked]

    def nonsense(self) -> None:
        self._hub.web.answer = lambda _: NONSENSE


class BucketPlace:
    hub = None
    goes_on = has_versions = False

    def __init__(self, buckets: Buckets) -> None:
        self._buckets, self.server = buckets, buckets.web
        self.url, self.secret = f"{buckets.scheme}://models/m", buckets.any_secret

    def put(self, files: Mapping[str, bytes]) -> None:
        self._buckets.put("models", {f"m/{path}": data for path, data in files.items()})
        self._buckets.secret = self.secret

    def reads(self, path: str) -> list[Asked]:
        return self._buckets.reads(path)

    def nonsense(self) -> None:
        self.server.answer = lambda _: NONSENSE


@pytest.fixture(params=["web", "hub", "s3", "gs"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place of each kind, whose pieces are small and whose pauses short."""
    monkeypatch.setattr(bucket, "_PIECE_BYTES", 300_000)
    monkeypatch.setattr(web, "_PAUSE_S", 0)
    match request.param:
        case "web":
            with web_server(Files({})) as server:
                yield WebPlace(server)
        case "hub":
            yield HubPlace(request.getfixturevalue("hub"))
        case _:
            with running(S3() if request.param == "s3" else Google()) as buckets:
                monkeypatch.setenv(buckets.variable, buckets.url)
                yield BucketPlace(buckets)


def source_of(place: Place, secret: str | None = "") -> RemoteSource:
    secret = place.secret if secret == "" else secret
    return RemoteSource(place.url, "File", secret, place.hub)


def pull(cache: Cache, place: Place, secret: str | None = "", **how) -> Manifest:
    with closing(source_of(place, secret)) as source:
        return cache.pull(Described(name="m", source=""), source, **how)


def once_here(cache: Cache, act: Callable[[], object]) -> Callable[[], None]:
    """What is to be called between pieces: acts once, when some of the weights are here."""
    acts, turn = [act], threading.Lock()  # several threads copy

    def look() -> None:
        with turn:
            if acts and weights_here(cache) > 500_000:
                acts.pop()()

    return look


def weights_here(cache: Cache) -> int:
    partial = cache.root / ".partial/m/files/w.safetensors"
    return partial.stat().st_size if partial.exists() else 0


def stopped_in_the_middle(cache: Cache, place: Place) -> int:
    """Pull until some of the weights are here; return how many bytes these are."""
    stop = Stop()
    look, check = once_here(cache, stop.set), stop.check
    stop.check = lambda: (look(), check())
    with pytest.raises(StoppedError):
        pull(cache, place, stop=stop)
    assert cache.inspect("m").status == "missing"
    assert 500_000 < weights_here(cache) < 3_000_000
    return weights_here(cache)


# ---- going on


def test_a_pull_that_was_stopped_goes_on_where_it_was(place, tmp_path):
    place.put(FILES)
    cache, progress = cache_at(tmp_path), Progress()
    size = stopped_in_the_middle(cache, place)
    place.server.asked.clear()
    pull(cache, place, progress=progress)
    assert installed(cache) == FILES
    assert min(asked.start for asked in place.reads("w.safetensors")) == size
    assert progress.resumed_bytes - size in {0, 2}  # the other file may have been here too
    assert (progress.done_bytes, progress.files_done) == (3_000_002, 2)
    assert left_in(cache) == []


def test_a_source_that_has_changed_meanwhile_starts_anew(place, tmp_path):
    place.put(FILES)
    cache, progress = cache_at(tmp_path), Progress()
    stopped_in_the_middle(cache, place)
    place.put(CHANGED)
    place.server.asked.clear()
    pull(cache, place, progress=progress)
    assert installed(cache) == CHANGED
    assert progress.resumed_bytes == 0
    assert min(asked.start for asked in place.reads("w.safetensors")) == 0


def test_a_file_that_changes_while_it_is_read_is_never_installed_in_part(
    place, tmp_path, monkeypatch
):
    monkeypatch.setattr(copying, "_AT_ONCE", 1)  # the small file first, then the weights
    cache, stop = cache_at(tmp_path), Stop()
    place.put(FILES)
    pull(cache, place)
    place.put(LISTED)
    stop.check = once_here(cache, lambda: place.put(CHANGED))
    if place.goes_on:
        pull(cache, place, stop=stop)
        assert installed(cache) == LISTED
    else:
        with pytest.raises(UnavailableError, match=r": w.safetensors: "):
            pull(cache, place, stop=stop)
        assert installed(cache) == FILES
    pull(cache, place)
    assert installed(cache) == CHANGED


def test_files_of_two_versions_are_never_installed_together(place, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "_AT_ONCE", 1)  # the small file first, then the weights
    cache, progress, stop = cache_at(tmp_path), Progress(), Stop()
    place.put(FILES)
    pull(cache, place)
    place.put(LISTED)

    def look() -> None:
        if progress.files_done == 1 and not weights_here(cache):
            place.put(CHANGED)

    stop.check = look
    if place.has_versions:
        pull(cache, place, progress=progress, stop=stop)
        assert installed(cache) == LISTED
    else:
        with pytest.raises(UnavailableError, match=r": w.safetensors: "):
            pull(cache, place, progress=progress, stop=stop)
        assert installed(cache) == FILES
    assert progress.files_done >= 1
    pull(cache, place)
    assert installed(cache) == CHANGED


PULL = """
import pathlib, sys
from discovery.artifacts.cache import Cache
from discovery.artifacts.manifest import Described
from discovery.artifacts.remote import RemoteSource

url, secret, root = sys.argv[1:]
Cache(pathlib.Path(root)).pull(Described(name="m", source=""), RemoteSource(url, "File", secret))
"""


def test_a_pull_whose_process_was_killed_goes_on_where_it_was(tmp_path):
    with web_server(Files({})) as server:
        place = WebPlace(server)
        place.put(FILES)
        server.held_after["/m/w.safetensors"] = 2_000_000
        process = subprocess.Popen(
            [sys.executable, "-c", PULL, place.url, place.secret, str(tmp_path)]
        )
        partial = tmp_path / ".partial/m/files/w.safetensors"
        until(lambda: partial.exists() and partial.stat().st_size == 2_000_000)
        process.kill()
        process.wait()
        server.go_on()
        server.asked.clear()
        cache, progress = cache_at(tmp_path), Progress()
        pull(cache, place, progress=progress)
        assert installed(cache) == FILES
        assert [asked.start for asked in place.reads("w.safetensors")] == [2_000_000]
        assert progress.resumed_bytes in {2_000_000, 2_000_002}


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_pull_whose_server_went_away_goes_on_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "_PAUSE_S", 0)
    with web_server(Files({})) as server:
        place = WebPlace(server)
        place.put(FILES)
        cache, progress = cache_at(tmp_path), Progress()
        server.cut_after["/m/w.safetensors"] = [2_000_000] + [0] * 4
        with pytest.raises(UnavailableError, match=re.escape(f"{place.url}: w.safetensors: ")):
            pull(cache, place)
        partial = (tmp_path / ".partial/m/files/w.safetensors").stat().st_size
        assert 1_000_000 < partial <= 2_000_000
        server.asked.clear()
        pull(cache, place, progress=progress)
        assert installed(cache) == FILES
        assert [asked.start for asked in place.reads("w.safetensors")] == [partial]
        assert progress.resumed_bytes - partial in {0, 2}


# ---- secrets


def test_a_secret_is_found_nowhere_but_where_it_was_sent(place, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    place.put(FILES)
    cache = cache_at(tmp_path)
    stopped_in_the_middle(cache, place)
    pull(cache, place)
    wrong = f"{place.secret}-wrong"
    with pytest.raises(PermissionDeniedError) as caught:
        pull(cache, place, wrong)
    secret = place.secret.split(":")[-1]  # which the wrong one begins with
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert len(caplog.messages) > 5
    assert secret not in caplog.text
    for path in tmp_path.rglob("*"):
        assert secret not in str(path)
        assert not path.is_file() or secret.encode() not in path.read_bytes()
    assert cache.inspect("m").manifest.source == place.url


def test_nothing_of_a_pull_remains_in_the_process(place, tmp_path):
    place.put(FILES)
    pull(cache_at(tmp_path), place)
    for _ in range(3):  # what others have left goes in several rounds
        gc.collect()
    kinds = {"HTTPFileSystem", "S3FileSystem", "GCSFileSystem", "ClientSession", "AioSession"}
    kept = [type(one).__name__ for one in gc.get_objects() if type(one).__name__ in kinds]
    assert kept == []


# ---- what is missing


@pytest.mark.parametrize(
    ("url", "modules", "extra"),
    [
        ("hf://org/m", ["huggingface_hub"], "models"),
        ("hf://org/m", ["fsspec", "fsspec.asyn", "fsspec.implementations.http"], "models"),
        ("https://host/m", ["aiohttp"], "models"),
        ("http://host/m", ["fsspec", "fsspec.asyn", "fsspec.implementations.http"], "models"),
        ("s3://bucket/m", ["s3fs"], "s3"),
        ("gs://bucket/m", ["gcsfs", "gcsfs.core"], "gcs"),
    ],
)
def test_a_library_that_is_not_installed_is_told_with_the_extra_that_brings_it(
    url, modules, extra, monkeypatch
):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with closing(RemoteSource(url, "File")) as source:
        with pytest.raises(FailedPreconditionError) as caught:
            source.list()
        assert str(caught.value).startswith(f"source {url}: needs what is not installed (")
        assert str(caught.value).endswith(f"run: pip install 'discoveryd[{extra}]'")


def test_a_source_can_be_closed_before_it_was_listed_and_twice(place):
    place.put(FILES)
    source = source_of(place)
    source.close()
    assert len(source.list().files) == 2
    source.close()
    source.close()
    assert len(source.list().files) == 2
    source.close()


@pytest.mark.parametrize("place", ["web", "hub", "gs"], indirect=True)
def test_nonsense_of_a_server_is_told_as_an_error_of_ours(place):
    place.put(FILES)
    place.nonsense()
    refused = pytest.raises((InvalidArgumentError, UnavailableError))
    with closing(source_of(place)) as source, refused as caught:
        source.list()
    assert str(caught.value).startswith(f"source {place.url}: ")
