"""The files of models on a daemon's node: what is refused, and what becomes of long work."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import urlsplit

import fsspec.asyn
import pytest

import discovery
from discovery import (
    CacheStatus,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from discovery.artifacts.credentials import PLAINTEXT
from discovery.artifacts.entry import entry_of
from discovery.artifacts.jobs import MOST_AT_ONCE, MOST_KEPT
from discovery.artifacts.lock import locked
from discovery.artifacts.manifest import manifest_of
from discovery.artifacts.stopping import Progress
from discovery.bookkeys import catalog_key, claim_key
from discovery.models import ArtifactCache
from discovery.spec import ModelSpec
from tests.support.bookplaces import MODEL, BookPlace
from tests.support.places import daemon_place, until
from tests.support.raw_client import raw_client
from transports.codec import JSON, MSGPACK
from transports.frame import pack, unpack

SECRET = "do-not-tell-me"
FILES = {"weights.bin": b"w" * 1000, "sub/config.json": b"{}"}
OPS = ("pull_artifact", "inspect_artifact", "drop_artifact", "list_artifacts")
ENTRY = entry_of("m", 1)


@pytest.fixture(scope="module", autouse=True)
def fsspec_is_there():
    """The thread of fsspec, one for the whole process, is there before any test."""
    fsspec.asyn.get_loop()


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The cache of the daemons of a test, by their settings."""
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_ROOT", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """A model's files."""
    for name, content in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


@pytest.fixture
def here():
    """A registry in memory; its settings are read when the first one connects."""
    return BookPlace()


@pytest.fixture
async def d(here, folder):
    async with here.connect() as d:
        await d.catalog.register("m", artifact_path=str(folder), **MODEL)
        yield d


async def answered(place, op, **fields):
    """What a daemon answers to one request that no client repeats."""
    replies = []
    frame = pack(MSGPACK, {"op": op, "mark": "one", **fields})
    await place.run(lambda core: core.service.answer(frame, replies.append, events=""))
    (reply,) = replies
    return unpack(reply)[1]


async def told(place, op, **fields):
    answer = await answered(place, op, **fields)
    assert "ok" in answer, answer
    return answer["ok"]


async def refused(place, op, **fields):
    return (await answered(place, op, **fields))["error"]


async def ended(place, op, **fields):
    """What becomes of a piece of work."""
    while not (answer := await told(place, op, **fields))["done"]:
        pass
    if "failed" in answer:
        return answer["failed"]
    assert (answer["parts"], answer["progress"]["step"]) == (1, answer["progress"]["step"])
    return json.loads(answer["part"])


@asynccontextmanager
async def held(root, entry=ENTRY):
    """Nobody else pulls or drops the model while the block runs."""
    lock = locked(root, entry)
    await asyncio.to_thread(lock.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.__exit__, None, None, None)


def files_of(report):
    names = [path for path in report.path.rglob("*") if path.is_file()]
    found = {path.relative_to(report.path).as_posix(): path.read_bytes() for path in names}
    return {name: found[name] for name in found if name != "manifest.json"}


async def served(d, **card):
    return await d.register(
        ModelSpec(namespace="prod", component="vllm", endpoint="generate", card=card)
    )


# ---- what is asked for


async def test_a_models_files_are_pulled_inspected_listed_and_dropped(place, folder, root):
    async with place.connect() as d:
        record = await d.catalog.register("m", artifact_path=str(folder), **MODEL)
        assert (await d.artifacts.inspect("m")).status is CacheStatus.MISSING
        assert await d.artifacts.list() == []
        assert await d.artifacts.drop("m") is False
        progress = Progress()
        manifest = await d.artifacts.pull("m", progress=progress)
        assert (manifest.name, manifest.source) == (ENTRY, folder.as_uri())
        assert [file.path for file in manifest.files] == sorted(FILES)
        assert (progress.step, progress.done_bytes, progress.files_done) == ("done", 1002, 2)
        report = await d.artifacts.inspect("m", 1)
        assert (report.status, report.path) == (CacheStatus.INSTALLED, root / ENTRY)
        assert (report.manifest, report.footprint_bytes) == (manifest, 1002)
        assert report.stamp["status"] == "installed"
        assert files_of(report) == FILES
        (listed,) = await d.artifacts.list()
        assert (listed.name, listed.stamp, listed.manifest) == (ENTRY, report.stamp, None)
        assert await d.artifacts.drop("m") is True
        assert (await d.artifacts.inspect("m")).stamp["status"] == "registered"
        assert await d.catalog.get("m") == record  # how it is on a node changes nothing there


async def test_a_deep_inspection_reads_what_a_short_one_does_not(d, root):
    await d.artifacts.pull("m")
    (root / ENTRY / "weights.bin").write_bytes(b"v" * 1000)
    assert (await d.artifacts.inspect("m")).status is CacheStatus.INSTALLED
    report = await d.artifacts.inspect("m", is_deep=True)
    assert report.status is CacheStatus.UNHEALTHY
    assert report.detail.startswith("sha256 mismatch for 'weights.bin'")


async def test_a_name_stands_for_its_highest_version_and_a_source_may_be_another(d, tmp_path):
    await d.catalog.register("m", version=2, **MODEL)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_bytes(b"x")
    manifest = await d.artifacts.pull("m", source=str(tmp_path / "other"))
    assert manifest.name == entry_of("m", 2)
    assert (await d.artifacts.inspect("m", 1)).status is CacheStatus.MISSING


async def test_the_source_of_models_that_name_none_is_a_setting(here, folder, monkeypatch):
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_SOURCE", f"{folder.parent}/{{name}}")
    async with here.connect() as d:
        await d.catalog.register("source", **MODEL)
        assert (await d.artifacts.pull("source")).source == folder.as_uri()


async def test_what_is_told_is_longer_than_what_goes_over_in_one_piece(d, root):
    await d.artifacts.pull("m")
    path = root / ENTRY / "manifest.json"
    manifest = json.loads(path.read_bytes())
    one = manifest["files"][0]
    manifest["files"] = [{**one, "path": f"{number:032}"} for number in range(9000)]
    manifest["total_size_bytes"] = 9000 * one["size_bytes"]
    path.write_text(json.dumps(manifest))
    report = await d.artifacts.inspect("m")
    assert report.detail.startswith("missing artifact file")
    assert report.manifest == manifest_of(manifest)


# ---- what is refused


async def test_a_model_that_is_not_in_the_catalog_is_not_found(d, root):
    for ask in (d.artifacts.pull, d.artifacts.inspect, d.artifacts.drop):
        with pytest.raises(NotFoundError, match="model 'n': not registered in the catalog"):
            await ask("n")
        with pytest.raises(NotFoundError, match="model 'm' version 2: not registered"):
            await ask("m", 2)
    with pytest.raises(NotFoundError):
        await d.artifacts.pull("n", source="/no/such")
    assert not root.exists()


async def test_no_source_names_the_setting(d):
    await d.catalog.register("n", **MODEL)
    with pytest.raises(InvalidArgumentError, match=r"'n::1': no source; .* set artifacts\.source"):
        await d.artifacts.pull("n")


async def test_a_folder_that_is_not_there_is_refused_and_what_is_installed_stays(d):
    before = await d.artifacts.pull("m")
    for source, why in {
        "/no/such": "'/no/such': expected a folder that there is",
        "no/such": "absolute path",
        "ftp://h/x": "ftp.*https://",
        "https://h/x?token=t": "has a secret in it",
    }.items():
        with pytest.raises(InvalidArgumentError, match=why):
            await d.artifacts.pull("m", source=source)
    assert (await d.artifacts.inspect("m", is_deep=True)).manifest == before


@pytest.mark.parametrize("op", OPS)
async def test_every_field_that_would_carry_a_secret_is_refused_before_all_else(here, op):
    async with here.connect():
        for name in sorted(PLAINTEXT):
            for written in (name, name.upper(), name.title()):
                wrong = {written: SECRET, "mark": 7, "name": "a::b", "daemon": [], "tenant": 7}
                for request in (wrong, {written: None}, {written: {"value": SECRET}}):
                    error = await refused(here, op, **request)
                    assert error["code"] == "invalid_argument"
                    assert error["message"].startswith(f"field {written!r} is refused")
                    assert "credential_alias" in error["message"]
                    assert SECRET not in str(error)


async def test_a_secret_is_refused_over_a_socket_too(caplog):
    caplog.set_level(logging.DEBUG)
    async with daemon_place() as place:
        with raw_client(urlsplit(place.url).port) as raw:
            for codec in (JSON, MSGPACK):
                asked = {"op": "pull_artifact", "mark": "a", "name": "m", "hf_token": SECRET}
                error = raw.refused(pack(codec, asked))
                assert error["code"] == "invalid_argument"
                assert "'hf_token' is refused" in error["message"]
                assert SECRET not in str(error)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("op", "fields", "why"),
    [
        ("pull_artifact", {"name": None}, "name None"),
        ("pull_artifact", {"name": "a::b"}, "name 'a::b': expected no '::'"),
        ("pull_artifact", {"version": 0}, "version 0: expected an integer of 1 or more"),
        ("pull_artifact", {"tenant": ""}, "tenant ''"),
        ("pull_artifact", {"source": 7}, "request.source: expected a text, got 7"),
        ("pull_artifact", {"credential_alias": "a b"}, "credential_alias 'a b': expected"),
        ("pull_artifact", {"mark": None}, "request.mark: expected a text"),
        ("pull_artifact", {"mark": ""}, "request.mark: expected 1 to 64 characters"),
        ("pull_artifact", {"mark": "x" * 65}, "request.mark: expected 1 to 64 characters"),
        ("pull_artifact", {"part": -1}, "request.part: expected an integer"),
        ("pull_artifact", {"force": True}, "request: unknown field 'force'"),
        ("pull_artifact", {"deep": True}, "request: unknown field 'deep'"),
        ("inspect_artifact", {}, "request.deep: expected true or false, got nothing"),
        ("inspect_artifact", {"deep": True, "source": "/x"}, "unknown field 'source'"),
        ("drop_artifact", {"deep": True}, "unknown field 'deep'"),
        ("list_artifacts", {}, "unknown field 'name'"),
    ],
)
async def test_a_field_that_is_wrong_or_unknown_is_refused_whatever_there_is(here, op, fields, why):
    async with here.connect():
        error = await refused(here, op, **{"name": "nowhere", **fields})
        assert error["code"] == "invalid_argument"
        assert why in error["message"]


# ---- secrets


async def test_the_requests_alias_goes_before_the_records_and_one_for_nothing_says_where(d):
    source = "https://127.0.0.1:1/x/"
    for name, config in {"n": {"credential_alias": "theirs"}, "o": {}}.items():
        await d.catalog.register(name, artifact_path=source, config=config, **MODEL)
    for name, alias, expected in (
        ("n", None, "theirs"),
        ("n", "my-own", "my-own"),
        ("o", "my-own", "my-own"),
    ):
        variable = f"DISCOVERY_CREDENTIAL_{expected.upper().replace('-', '_')}"
        why = f"'{expected}' stands for nothing: put the secret into the variable {variable}, or"
        with pytest.raises(InvalidArgumentError, match=why):
            await d.artifacts.pull(name, credential_alias=alias)


@pytest.mark.parametrize("secret", ["", "  "])
async def test_an_empty_secret_is_refused_and_says_where_it_was_looked_for(
    here, secret, monkeypatch
):
    monkeypatch.setenv("DISCOVERY_CREDENTIAL_A", secret)
    async with here.connect() as d:
        await d.catalog.register("m", artifact_path="https://127.0.0.1:1/x/", **MODEL)
        why = "'a' stands for an empty secret: put one into the variable DISCOVERY_CREDENTIAL_A"
        with pytest.raises(InvalidArgumentError, match=why):
            await d.artifacts.pull("m", credential_alias="a")


async def test_a_secret_is_shown_to_its_source_and_told_to_nobody(
    here, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "secrets.toml"
    file.write_text(f'file = "{SECRET}-file"\n')
    file.chmod(0o600)
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("DISCOVERY_CREDENTIAL_ENV", f"{SECRET}-env")
    seen = []

    class Telltale(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers["Authorization"])
            body = json.dumps({"error": f"you said {seen[-1]}"}).encode()
            self.send_response(401, f"you said {seen[-1]}")
            self.send_header("X-Error-Message", f"you said {seen[-1]}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - of http.server

        def log_message(self, *_):
            pass

    with server_of(Telltale) as port:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        async with here.connect() as d:
            await d.catalog.register("m", artifact_path="hf://org/m", **MODEL)
            for alias in ("env", "file"):
                with pytest.raises(PermissionDeniedError) as caught:
                    await d.artifacts.pull("m", credential_alias=alias)
                assert f"Bearer {SECRET}-{alias}" in seen
                assert SECRET not in str(caught.value)
                fields = {"name": "m", "credential_alias": alias, "mark": alias}
                answer = await ended(here, "pull_artifact", **fields)
                assert answer["code"] == "permission_denied"
                assert SECRET not in str(answer)
    ours = [record.getMessage() for record in caplog.records if record.name[:9] == "discovery"]
    assert ours
    assert SECRET not in str(ours)  # what a library repeats of its server's words is its own
    assert not [path for path in tmp_path.rglob("*") if path != file and in_it(SECRET, path)]


def in_it(secret, path):
    return path.is_file() and secret.encode() in path.read_bytes()


@contextmanager
def server_of(handler):
    """A web server while the block runs; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


# ---- work that takes long


async def test_who_asks_again_with_its_mark_waits_for_the_same_work(here, d, root):
    asked = {"name": "m", "mark": "a"}
    async with held(root):
        for _ in range(2):
            answer = await told(here, "pull_artifact", **asked)
            assert (answer["done"], answer["daemon"]) == (False, here.core.daemon)
            assert answer["progress"]["step"] == "waiting"
            assert "process" in answer["progress"]["detail"]
    first = await ended(here, "pull_artifact", **asked)
    assert manifest_of(first["manifest"]).name == ENTRY
    assert await ended(here, "drop_artifact", name="m", mark="b") == {"removed": True}
    assert await ended(here, "drop_artifact", name="m", mark="b") == {"removed": True}
    assert await ended(here, "pull_artifact", **asked) == first  # told, and not done again
    assert await ended(here, "drop_artifact", name="m", mark="c") == {"removed": False}


async def test_what_failed_is_told_again_and_not_tried_again(here, d, tmp_path):
    asked = {"name": "m", "source": str(tmp_path / "later"), "mark": "a"}
    failed = await ended(here, "pull_artifact", **asked)
    assert failed["code"] == "invalid_argument"
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "x").touch()
    assert await ended(here, "pull_artifact", **asked) == failed
    assert "manifest" in await ended(here, "pull_artifact", **{**asked, "mark": "b"})


async def test_a_failure_is_told_at_once_even_if_another_attempt_might_not_meet_it(
    here, folder, monkeypatch
):
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_BUDGET_BYTES", "1001")
    async with here.connect() as d:
        await d.catalog.register("m", artifact_path=str(folder), **MODEL)
        before = here.core.service.answered
        with pytest.raises(ResourceExhaustedError, match="its budget is 1001"):
            await d.artifacts.pull("m")
        assert here.core.service.answered - before < 20
        assert here.core.service.refused == 0


async def test_a_mark_that_was_used_for_something_else_is_refused(here, d, root):
    async with held(root):
        await told(here, "pull_artifact", name="m")
        for op, fields in (
            ("pull_artifact", {"name": "m", "version": 1}),
            ("pull_artifact", {"name": "m", "source": "/x"}),
            ("pull_artifact", {"name": "m", "credential_alias": "x"}),
            ("pull_artifact", {"name": "m", "tenant": "acme"}),
            ("pull_artifact", {"name": "n"}),
            ("inspect_artifact", {"name": "m", "deep": False}),
            ("drop_artifact", {"name": "m"}),
            ("list_artifacts", {}),
        ):
            error = await refused(here, op, **fields)
            assert error["code"] == "invalid_argument"
            assert error["message"] == "request.mark 'one': was used for something else"
    assert "manifest" in await ended(here, "pull_artifact", name="m")


async def test_another_daemon_than_the_one_that_was_asked_first_refuses(here, d):
    asked = [{"name": "m"}, {"name": "m", "deep": True}, {"name": "m"}, {}]
    for op, fields in zip(OPS, asked, strict=True):
        error = await refused(here, op, daemon="0123456789abcdef", **fields)
        assert error["code"] == "failed_precondition"
        assert "'0123456789abcdef' was asked first" in error["message"]
    assert (await d.artifacts.inspect("m")).status is CacheStatus.MISSING


async def test_who_waits_asks_for_one_piece_of_work_and_the_daemon_that_was_asked_first(
    here, d, root
):
    asked, works = [], here.core.books.works
    pull = works["pull_artifact"]

    async def heard(fields):
        asked.append(dict(fields._left))
        return await pull(fields)

    works["pull_artifact"] = heard
    async with asyncio.TaskGroup() as group, held(root):
        group.create_task(d.artifacts.pull("m"))
        await until(lambda: len(asked) > 2)
    assert [request.get("daemon") for request in asked[:2]] == [None, here.core.daemon]
    assert {request["daemon"] for request in asked[1:]} == {here.core.daemon}
    assert len({request["mark"] for request in asked}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"done": True},
        {"done": True, "part": 7, "parts": "x"},
        {"done": True, "part": "{", "parts": 1},
        {"done": True, "part": "[]", "parts": 1},
        {"done": True, "part": "{}", "parts": 0},
        {"done": True, "part": '{"report": {}, "manifest": {}, "reports": [7]}', "parts": 1},
        {"done": True, "part": '{"report": {"status": "x", "stamp": {}}}', "parts": 1},
        {"done": 1, "failed": "x", "progress": {"step": 7}},
    ],
)
async def test_an_answer_that_no_daemon_of_ours_gives_is_an_internal_error(here, d, answer):
    async def answered(_):
        return answer

    here.core.books.works.update(dict.fromkeys(OPS, answered))
    a = d.artifacts
    for ask in (a.pull("m"), a.inspect("m"), a.drop("m"), a.list()):
        assert isinstance(await failure(ask), InternalError)


async def failure(work):
    with pytest.raises(discovery.DiscoveryError) as error:
        await work
    return error.value


async def test_the_catalog_may_change_while_a_model_is_pulled(here, d, root):
    async with asyncio.TaskGroup() as group, held(root):
        pulling = group.create_task(d.artifacts.pull("m"))
        await until(lambda: under_way(here))
        await d.catalog.register("m", artifact_path="/elsewhere", **MODEL)
        await d.catalog.register("m", version=2, artifact_path="/elsewhere", **MODEL)
        before = here.core.service.answered
        await until(lambda: here.core.service.answered > before + 1)  # it goes on asking
    assert pulling.result().name == ENTRY


async def test_too_many_pieces_of_work_at_once_are_refused(here, d, root):
    async with held(root):
        async with asyncio.TaskGroup() as group:
            for number in range(MOST_AT_ONCE):
                op = ("pull_artifact", "drop_artifact")[number % 2]
                group.create_task(told(here, op, name="m", mark=f"{number}"))
        assert len(under_way(here)) == MOST_AT_ONCE
        for op in ("pull_artifact", "drop_artifact"):
            error = await refused(here, op, name="m", mark="more")
            assert error["code"] == "resource_exhausted"
            assert f"{MOST_AT_ONCE} pieces of work are under way" in error["message"]
            assert error["details"]["retry_after_s"] > 0
        assert not (await told(here, "pull_artifact", name="m", mark="0"))["done"]  # not more
        assert (await d.artifacts.inspect("m")).status is CacheStatus.MISSING  # not less
    await until(lambda: len(under_way(here)) < MOST_AT_ONCE)
    assert "done" in await told(here, "pull_artifact", name="m", mark="more")


def under_way(place):
    return [job for job in place.core.books.artifacts._jobs._jobs.values() if not job.task.done()]


async def test_what_is_waited_for_is_not_forgotten_for_all_that_ends_meanwhile(here, d, root):
    async with held(root):
        await told(here, "pull_artifact", name="m", mark="long")
        for number in range(MOST_KEPT + 20):
            mark, asked = f"{number}", {"name": "m", "deep": False}
            assert "report" in await ended(here, "inspect_artifact", **asked, mark=mark)
    await until(lambda: not under_way(here))
    await ended(here, "inspect_artifact", name="m", deep=False, mark="other")
    first = await ended(here, "pull_artifact", name="m", mark="long")
    again = await ended(here, "inspect_artifact", name="m", deep=False, mark="last")
    assert again["report"]["manifest"] == first["manifest"]  # of the one pull that there was
    assert len(here.core.books.artifacts._jobs._jobs) <= MOST_KEPT + 2


@pytest.mark.parametrize("is_copying", [False, True])
async def test_a_daemon_that_stops_while_it_pulls_ends_soon_and_the_old_install_stays(
    here, folder, root, is_copying
):
    closing = Event()

    class Trickle(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 20))
            self.end_headers()
            while self.command == "GET" and not closing.wait(0.005):
                self.wfile.write(b"x" * 100)

        do_HEAD = do_GET  # noqa: N815 - of http.server

        def handle(self):
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, *_):
            pass

    with server_of(Trickle) as port:
        async with AsyncExitStack() as lock, here.connect() as d:
            await d.catalog.register("m", artifact_path=str(folder), **MODEL)
            before = await d.artifacts.pull("m")
            if is_copying:
                source = f"http://127.0.0.1:{port}/big.bin"
            else:
                source = str(folder)
                await lock.enter_async_context(held(root))
            asked = {"name": "m", "source": source}
            while (answer := await told(here, "pull_artifact", **asked))["progress"]["step"] != (
                "copying" if is_copying else "waiting"
            ):
                assert not answer["done"]
            began = time.monotonic()
        assert time.monotonic() - began < 5.0
        closing.set()
    async with here.connect() as d:
        await d.catalog.register("m", **MODEL)
        report = await d.artifacts.inspect("m", is_deep=True)
        assert (report.status, report.manifest) == (CacheStatus.INSTALLED, before)
        assert await d.artifacts.drop("m") is True  # the lock is free


async def test_what_a_daemon_is_asked_for_goes_on_without_who_has_asked(here, d, root):
    async with held(root):
        pulling = asyncio.ensure_future(d.artifacts.pull("m"))
        await until(lambda: under_way(here))
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
    await until(lambda: not under_way(here))
    assert (await d.artifacts.inspect("m")).status is CacheStatus.INSTALLED


async def test_trouble_with_files_is_an_internal_error_that_says_where(here, d, root):
    root.mkdir()
    (root / ".staging").write_text("in the way")
    with pytest.raises(InternalError, match=rf": Not a directory {root}/\.staging"):
        await d.artifacts.pull("m")


async def test_a_root_that_is_a_file_is_refused(here, d, root):
    root.write_text("")
    for ask in (d.artifacts.list(), d.artifacts.inspect("m"), d.artifacts.pull("m")):
        with pytest.raises(InvalidArgumentError, match="expected a folder, it is a file"):
            await ask


# ---- room


@pytest.fixture
async def full(here, folder, monkeypatch):
    """A daemon that has room for two models and has them: `old` and `m`."""
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_BUDGET_BYTES", "2500")
    async with here.connect() as d:
        for name in ("old", "m", "new"):
            await d.catalog.register(name, artifact_path=str(folder), **MODEL)
        for name in ("old", "m"):
            await d.artifacts.pull(name)
        yield d


async def here_are(d):
    return {report.name for report in await d.artifacts.list()}


def entries(*names):
    return {entry_of(name, 1) for name in names}


async def test_the_budget_of_the_settings_is_held(full):
    await full.artifacts.pull("new")
    assert await here_are(full) == entries("m", "new")
    await full.artifacts.pull("new")  # in place of itself
    assert await here_are(full) == entries("m", "new")


async def test_what_was_not_used_for_longest_goes_first(full, root):
    cache = ArtifactCache(root)
    for name in ("old", "m"):
        claim = f"{await cache.cache_id()}/File/{name}@1"
        await full.claims.set_status(claim, "File", "DOWNLOADED")
    await full.claims.touch(f"{await cache.cache_id()}/File/old@1")
    await full.artifacts.pull("new")
    assert await here_are(full) == entries("old", "new")


@pytest.mark.parametrize(
    "card",
    [
        {"display_name": "old"},
        {"display_name": "shown", "catalog_key": "old::1"},
        {"display_name": "shown", "artifact": {"cache": "id", "entry": entry_of("old", 1)}},
    ],
)
async def test_the_files_of_a_registered_model_never_go(full, root, card):
    if "artifact" in card:
        card["artifact"]["cache"] = await ArtifactCache(root).cache_id()
    await served(full, **card)
    await full.artifacts.pull("new")
    assert await here_are(full) == entries("old", "new")


async def test_the_files_of_a_model_that_is_registered_while_a_pull_waits_do_not_go(full, root):
    progress = Progress()
    async with held(root, entry_of("new", 1)):
        pull = asyncio.create_task(full.artifacts.pull("new", progress=progress))
        await until(lambda: progress.detail)  # says who is waited for
        await served(full, display_name="old")
    await pull
    assert await here_are(full) == entries("old", "new")


async def test_a_model_that_is_served_from_another_cache_does_not_keep_this_one_full(full):
    card = {"display_name": "old", "artifact": {"cache": "elsewhere", "entry": "x"}}
    await served(full, **card)
    await full.artifacts.pull("new")
    assert await here_are(full) == entries("m", "new")


async def test_nothing_goes_where_what_is_in_use_is_too_much(full, folder):
    await served(full, display_name="old")
    (folder / "more").write_bytes(b"x" * 600)
    with pytest.raises(ResourceExhaustedError, match="its budget is 2500"):
        await full.artifacts.pull("new")
    assert await here_are(full) == entries("old", "m")


async def test_records_that_cannot_be_read_do_not_keep_others_from_being_pulled(here, full):
    await served(full, display_name="old")
    await here.put(catalog_key("global", "bad", 1), b"{")
    await here.put(catalog_key("global", "null", 1), {"name": None})
    await here.put("v1/models/prod/vllm/generate/1", b"{")
    await here.put(claim_key("bad"), b"{")
    await full.artifacts.pull("new")
    assert await here_are(full) == entries("old", "new")


# ---- tenants


async def test_another_tenants_model_is_as_one_that_there_is_not(here, folder):
    async with here.connect(tenant="acme") as acme:
        await acme.catalog.register("m", artifact_path=str(folder), **MODEL)
        await acme.artifacts.pull("m")
        for other in ("Acme", "acm", "global", None):
            async with here.connect(tenant=other) as d:
                for ask in (d.artifacts.pull, d.artifacts.inspect, d.artifacts.drop):
                    for version in (None, 1):
                        hidden = await failure(ask("m", version))
                        missing = await failure(ask("n", version))
                        assert isinstance(hidden, NotFoundError)
                        assert str(hidden) == str(missing).replace("'n'", "'m'")
                assert await d.artifacts.list() == []
        assert (await acme.artifacts.inspect("m", is_deep=True)).status is CacheStatus.INSTALLED
        assert [report.name for report in await acme.artifacts.list()] == [entry_of("m", 1, "acme")]


async def test_a_tenants_model_and_everybodys_of_that_name_have_files_of_their_own(here, folder):
    async with here.connect(tenant="acme") as acme, here.connect() as d:
        await d.catalog.register("m", artifact_path=str(folder), **MODEL)
        assert (await acme.artifacts.pull("m")).name == ENTRY  # there is only everybody's
        await acme.catalog.register("m", artifact_path=str(folder), **MODEL)
        assert (await acme.artifacts.inspect("m")).status is CacheStatus.MISSING
        own = await acme.artifacts.pull("m")
        assert own.name == entry_of("m", 1, "acme") != ENTRY
        assert [report.name for report in await d.artifacts.list()] == [ENTRY]
        assert {report.name for report in await acme.artifacts.list()} == {own.name, ENTRY}
        assert await acme.artifacts.drop("m") is True
        assert (await d.artifacts.inspect("m")).status is CacheStatus.INSTALLED


async def test_a_retired_models_files_are_listed_and_dropped_still(d):
    await d.artifacts.pull("m")
    await d.catalog.retire("m")
    assert await here_are(d) == {ENTRY}
    assert await d.artifacts.drop("m") is True
