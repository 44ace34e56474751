"""`discoveryctl artifacts`, as its users run it: most of it within this process."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import click
import fsspec.asyn
import pytest

import discovery
from discovery import NotFoundError
from discovery.artifacts.entry import entry_of
from discovery.artifacts.lock import locked
from discovery.cli import pulling
from discovery.cli.app import main
from discovery.cli.cacheoptions import Size
from discovery.cli.pulling import size, telling
from discovery.models import ArtifactCache
from discovery.spec import ModelSpec
from tests.cli.ctl import CTL, JOINED, said
from tests.cli.terminal import Terminal
from tests.support.bookplaces import MODEL
from tests.support.places import EmbeddedPlace, daemon_place, until
from tests.support.processes import free_ports, program

NAME = "org/bge"
ENTRY = entry_of(NAME, 1)
GONE = "discoveryctl: model {}: its files are not here\nhint: {}\n"


@pytest.fixture(scope="module", autouse=True)
def fsspec_is_there():
    """The thread of fsspec, one for the whole process, is there before any test."""
    fsspec.asyn.get_loop()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The cache of this node, and of the daemon's, unless a command says another."""
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_ROOT", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes(b"{}")
    (source / "weights.bin").write_bytes(b"w" * 1000)
    return source


@pytest.fixture
async def d(root, folder):
    place = EmbeddedPlace()
    async with place.connect() as d:
        await d.catalog.register(NAME, artifact_path=str(folder), **MODEL)
        yield d


@pytest.fixture
def run(d, capsys):
    """Runs a command to its end; gives exit code, stdout and stderr."""

    async def run(*words, url=None):
        argv = ["--url", url or d.url, "artifacts", *map(str, words)]
        code = await asyncio.to_thread(main, argv)
        return (code, *capsys.readouterr())

    return run


def rows_of(out):
    return [json.loads(line) for line in out.splitlines()]


def installed(folder, root, **fields):
    """What is printed of what is installed."""
    return {
        "name": ENTRY,
        "status": "installed",
        "footprint_bytes": 1002,
        "source": folder.as_uri(),
        "revision": "",
        "files": 2,
        "path": str(root / ENTRY),
        "detail": None,
        **fields,
    }


# ---- pull, inspect, drop, list


async def test_a_model_is_pulled_and_printed_as_it_is_listed(run, d, folder, root):
    code, out, err = await run("pull", NAME)
    assert (code, err) == (0, "")
    (row,) = rows_of(out)
    assert row == installed(folder, root, installed_at=row["installed_at"])
    assert row["installed_at"].endswith("Z")
    assert rows_of((await run("list"))[1]) == [row]
    assert {path.name for path in (root / ENTRY).iterdir()} == {
        *("config.json", "manifest.json", "weights.bin")
    }


async def test_the_list_has_every_form(run, folder):
    assert await run("list") == (0, "", "")
    assert await run("list", "-o", "table") == (0, "", "discoveryctl: no files of models here\n")
    assert await run("list", "-o", "json") == (0, "[]\n", "")
    row = rows_of((await run("pull", NAME))[1])[0]
    assert json.loads((await run("list", "-o", "json"))[1]) == [row]
    assert await run("list", "-o", "name") == (0, f"{ENTRY}\n", "")
    table = (await run("list", "-o", "table"))[1].splitlines()
    assert re.split("  +", table[0]) == ["NAME", "STATUS", "FOOTPRINT BYTES", "SOURCE", "DETAIL"]
    assert table[1].split()[:3] == [ENTRY, "installed", "1002"]
    wide = (await run("list", "-o", "wide"))[1].splitlines()
    assert re.split("  +", wide[0])[-4:] == ["REVISION", "INSTALLED AT", "FILES", "PATH"]
    assert wide[1].split()[-3:] == [row["installed_at"], "2", row["path"]]
    assert folder.as_uri() in wide[1]


@pytest.mark.parametrize("where", [[], ["--at-daemon"]])
async def test_what_was_pulled_is_inspected_in_every_form(run, where):
    code, out, err = await run("inspect", NAME, *where, "-o", "name")
    assert (code, out) == (5, f"{ENTRY}\n")
    hint = " ".join(["get them: discoveryctl artifacts pull", NAME, *where])
    assert err == GONE.format(NAME, hint)
    assert await run("pull", NAME, *where, "-o", "name") == (0, f"{ENTRY}\n", "")
    code, out, err = await run("inspect", NAME, "--deep", *where)
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert list(report) == [
        *("name", "status", "path", "footprint_bytes", "manifest", "detail", "stamp")
    ]
    assert (report["name"], report["status"], report["footprint_bytes"]) == (
        *(ENTRY, "installed"),
        1002,
    )
    paths = [file["path"] for file in report["manifest"]["files"]]
    assert paths == ["config.json", "weights.bin"]
    assert report["stamp"]["status"] == "installed"
    assert json.loads((await run("inspect", NAME, *where, "-o", "json"))[1]) == report
    table = (await run("inspect", NAME, *where, "-o", "table"))[1].splitlines()
    assert table[:2] == [f"name             {ENTRY}", "status           installed"]
    assert await run("inspect", NAME, *where, "-o", "name") == (0, f"{ENTRY}\n", "")


@pytest.mark.parametrize("where", [[], ["--at-daemon"]])
async def test_what_is_not_as_its_manifest_says_is_exit_code_6_and_pulled_anew(run, root, where):
    await run("pull", NAME, *where)
    (root / ENTRY / "weights.bin").write_bytes(b"v" * 1000)
    assert (await run("inspect", NAME, *where))[0] == 0
    code, out, err = await run("inspect", NAME, "--deep", *where)
    assert code == 6
    assert json.loads(out)["status"] == "unhealthy"
    assert f"model {NAME}: unhealthy, sha256 mismatch for 'weights.bin'" in err
    assert " ".join(["hint: get them: discoveryctl artifacts pull", NAME, *where]) in err
    (root / ENTRY / "config.json").unlink()
    (row,) = rows_of((await run("list"))[1])
    assert (row["status"], row["detail"][:21]) == ("unhealthy", "missing artifact file")
    assert (await run("pull", NAME, *where))[0] == 0
    assert (await run("inspect", NAME, "--deep", *where))[0] == 0


@pytest.mark.parametrize("where", [[], ["--at-daemon"]])
async def test_what_is_dropped_is_printed_and_nothing_to_drop_is_exit_code_5(run, root, d, where):
    await run("pull", NAME)
    row = {"name": ENTRY, "event": "dropped"}
    code, out, err = await run("drop", NAME, *where)
    assert (code, json.loads(out), err) == (0, row, "")
    assert not (root / ENTRY).exists()
    assert await d.catalog.get(NAME)
    hint = " ".join(["see what is here: discoveryctl artifacts list", *where])
    assert await run("drop", NAME, *where) == (5, "", GONE.format(NAME, hint))
    await run("pull", NAME)
    out = (await run("drop", NAME, *where, "-o", "table"))[1]
    assert [line.split() for line in out.splitlines()] == [["NAME", "EVENT"], [ENTRY, "dropped"]]


@pytest.mark.parametrize("where", [[], ["--at-daemon"]])
@pytest.mark.parametrize("command", ["pull", "inspect", "drop"])
async def test_a_model_that_is_not_in_the_catalog_is_exit_code_5(run, command, where):
    for version, called in (([], "'x'"), (["--version", "3"], "'x' version 3")):
        code, out, err = await run(command, "x", *version, *where)
        assert (code, out) == (5, "")
        assert f"model {called}: not registered in the catalog" in err
        assert "hint: see what there is: discoveryctl catalog list" in err
        assert "register it: discoveryctl catalog register NAME --artifact-path" in err


async def test_the_cache_of_the_daemons_node_is_another_than_that_of_this_one(
    run, tmp_path, root, monkeypatch
):
    assert (await run("pull", NAME, "--at-daemon"))[0] == 0
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_ROOT", str(tmp_path / "here"))
    assert (await run("inspect", NAME))[0] == 5
    assert await run("list") == (0, "", "")
    (row,) = rows_of((await run("list", "--at-daemon"))[1])
    assert (row["name"], row["path"]) == (ENTRY, str(root / ENTRY))
    assert row["installed_at"].endswith("Z")
    other = tmp_path / "other"
    assert (await run("pull", NAME, "--root", other))[0] == 0
    assert rows_of((await run("list", "--root", other))[1])[0]["path"] == str(other / ENTRY)
    assert (await run("inspect", NAME))[0] == 5
    assert await run("list", "--root", "") == (0, "", "")  # as if nothing was said


async def test_another_version_and_another_source_are_taken_when_they_are_said(
    run, d, tmp_path, monkeypatch
):
    await d.catalog.register(NAME, version=2, **MODEL)
    code, out, err = await run("pull", NAME)
    assert (code, out) == (2, "")
    assert f"'{NAME}::2': no source; give one" in err
    assert json.loads((await run("pull", NAME, "--version", "1"))[1])["name"] == ENTRY
    monkeypatch.chdir(tmp_path)
    row = json.loads((await run("pull", NAME, "--source", "source"))[1])  # from where we are
    assert row["name"] == entry_of(NAME, 2)
    assert row["source"] == (tmp_path / "source").as_uri()
    code, _, err = await run("pull", NAME, "--source", "source", "--at-daemon")
    assert code == 2  # nobody knows where the daemon is
    assert "absolute path" in err


async def test_a_tenant_has_files_of_its_own_models_and_none_of_anothers(run, d, folder):
    async with discovery.connect(d.url, tenant="acme") as acme:
        await acme.catalog.register("own", artifact_path=str(folder), **MODEL)
    own = entry_of("own", 1, "acme")
    for where in ([], ["--at-daemon"]):
        assert await run("pull", "own", *where, "--tenant", "acme", "-o", "name") == (
            *(0, f"{own}\n"),
            "",
        )
        assert (await run("inspect", "own", *where, "--tenant", "acme"))[0] == 0
        for words in (["--tenant", "other"], []):
            for command in ("pull", "inspect", "drop"):
                code, out, err = await run(command, "own", *where, *words)
                assert (code, out) == (5, "")
                assert "--tenant says whose it is" in err
    assert await run("list", "--at-daemon", "-o", "name") == (0, "", "")
    assert (await run("inspect", own, "--tenant", "other"))[0] == 5
    assert (await run("drop", "own", "--tenant", "acme"))[0] == 0


async def test_what_list_prints_is_inspected_and_dropped_though_no_catalog_has_it(run, folder, d):
    await run("pull", NAME)
    async with EmbeddedPlace().connect() as empty:
        code, out, _ = await run("inspect", ENTRY, url=empty.url)
        assert (code, json.loads(out)["status"]) == (0, "installed")
        for words in ([ENTRY, "--version", "1"], [ENTRY, "--at-daemon"], ["no-entry"], ["no/one"]):
            assert (await run("inspect", *words, url=empty.url))[0] == 5
            assert (await run("drop", *words, url=empty.url))[0] == 5
        assert (await run("drop", ENTRY, url=empty.url))[0] == 0
    assert await run("list") == (0, "", "")


async def test_what_is_strange_in_a_cache_is_listed_all_the_same(run, root):
    await run("pull", NAME)
    path = root / ENTRY / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "installed_at_unix_ms": 2**62}))
    (root / "a-file").write_text("x")
    code, out, err = await run("list")
    assert (code, err) == (0, "")
    file, model = rows_of(out)
    assert (file["name"], file["status"]) == ("a-file", "unhealthy")
    assert (model["status"], model["installed_at"]) == ("installed", None)


# ---- room


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("0", 0), ("1002", 1002), ("1002B", 1002), ("1k", 1024), ("1 KiB", 1024), ("1Ki", 1024)),
        *(("1KB", 1000), ("1.5M", 3 << 19), ("20GiB", 20 << 30), ("20GB", 20 * 10**9)),
        *(("2T", 2 << 40), ("0.5t", 1 << 39), ("9007199254740993", 9007199254740993)),
    ],
)
def test_a_size_is_bytes_or_has_a_unit_as_coreutils_have_them(text, count):
    assert Size().convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "1,5G", "1 Gi B", "G", "1X", "1ib", "٣"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(click.BadParameter, match="expected bytes, or a number with K, M, G or T"):
        Size().convert(text, None, None)


async def test_what_was_not_used_for_longest_goes_until_the_rest_fits(run, d, folder, monkeypatch):
    for name in ("a", "b", "c"):
        await d.catalog.register(name, artifact_path=str(folder), **MODEL)
        await run("pull", name)
    place = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}
    card = {"display_name": "b", "catalog_key": "b::1"}
    served = await d.register(ModelSpec(**place, card=card))
    code, out, err = await run("gc", "--budget", "1M")
    assert (code, out, err) == (0, "", "discoveryctl: removed 0 of 0 B, 2.9 KiB are left\n")
    dropped = [
        {"name": entry_of(name, 1), "event": "dropped", "footprint_bytes": 1002}
        for name in ("a", "c")
    ]
    code, out, err = await run("gc", "--budget", "2.5KB")
    assert (code, rows_of(out)) == (0, dropped[:1])
    assert err == "discoveryctl: removed 1 of 1002 B, 2.0 KiB are left\n"
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_BUDGET_BYTES", "1001")
    code, out, err = await run("gc", "-o", "table")
    assert code == 6
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "EVENT", "FOOTPRINT", "BYTES"],
        [entry_of("c", 1), "dropped", "1002"],
    ]
    assert err.endswith("discoveryctl: that is more than 1001 B: the rest is in use\n")
    assert await run("gc", "-o", "name") == (
        6,
        "",
        err.replace("removed 1 of 1002", "removed 0 of 0"),
    )
    await d.unregister(served)
    assert await run("gc", "--budget", "0", "-o", "name") == (
        *(0, f"{entry_of('b', 1)}\n"),
        "discoveryctl: removed 1 of 1002 B, 0 B are left\n",
    )


async def test_a_pull_that_has_no_room_says_how_to_make_some(run, d, folder, monkeypatch, root):
    monkeypatch.setenv("DISCOVERY_ARTIFACTS_BUDGET_BYTES", "1001")
    code, out, err = await run("pull", NAME)
    assert (code, out) == (1, "")
    assert "its budget is 1001" in err
    assert "hint: make room: discoveryctl artifacts drop NAME, or gc --budget SIZE" in err
    assert not (root / ENTRY).exists()


# ---- what goes wrong


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["pull"], "Missing argument 'NAME'"),
        (["pull", NAME, "--version", "0"], "0 is not in the range"),
        (["pull", NAME, "--token=t0p"], "No such option '--token'"),
        (["inspect", NAME, "--source", "/x"], "No such option '--source'"),
        (["drop", NAME, "--root", "/x", "--at-daemon"], "--root is a folder of this node"),
        (["list", "--at-daemon", "--root", "/x"], "expected one of them"),
        (["gc"], "Missing option '--budget'"),
        (["gc", "--budget", "much"], "'much': expected bytes, or a number with K, M, G or T"),
        (["gc", "--budget", "1", "--at-daemon"], "No such option '--at-daemon'"),
        (["inspekt", NAME], "inspekt"),
        (["pull", "a::b"], "name 'a::b'"),
        (["pull", NAME, "--source", "ftp://x/y"], "ftp://x/y"),
        (["pull", NAME, "--source", "/no/such"], "expected a folder that there is"),
        (["pull", NAME, "--source", "https://u:t0p@h/x"], "name it by credential_alias"),
        (["pull", NAME, "--credential-alias", "a b"], "credential_alias 'a b'"),
        (["list", "--root", __file__], "expected a folder, it is a file"),
    ],
)
async def test_a_wrong_argument_is_exit_code_2_and_named(run, words, said_of_it):
    code, out, err = await run(*words)
    assert (code, out) == (2, "")
    assert said_of_it in err
    assert "t0p" not in err
    assert "Traceback" not in err


async def test_an_alias_for_nothing_says_where_to_put_the_secret(run):
    source = ("--source", "https://127.0.0.1:1/x/", "--credential-alias", "hub")
    for where in ([], ["--at-daemon"]):
        code, out, err = await run("pull", NAME, *source, *where)
        assert (code, out) == (2, "")
        assert "put the secret into the variable DISCOVERY_CREDENTIAL_HUB" in err


async def test_without_a_daemon_this_nodes_files_are_listed_and_all_else_is_exit_code_3(run, root):
    await run("pull", NAME)
    url = f"zmq://127.0.0.1:{free_ports()}"
    assert await run("list", "-o", "name", url=url) == (0, f"{ENTRY}\n", "")
    for words in (
        *(["pull", NAME], ["inspect", NAME], ["drop", NAME], ["list", "--at-daemon"]),
        ["gc", "--budget", "0"],
    ):
        code, out, err = await run(*words, "--timeout", "0.2", url=url)
        assert (code, out) == (3, "")
        assert "hint: start a daemon with" in err
    assert (root / ENTRY).exists()


async def test_a_source_that_is_away_is_exit_code_3_and_not_taken_for_the_daemon(run):
    source = f"http://127.0.0.1:{free_ports()}/w/"
    for where in ([], ["--at-daemon"]):
        code, out, err = await run("pull", NAME, "--source", source, *where)
        assert (code, out) == (3, "")
        assert f"source {source}" in err
        assert "hint: try it again: what is here already is gone on with" in err
        assert "discoveryd" not in err


async def test_trouble_with_files_is_exit_code_1_and_says_where(run, root):
    root.mkdir()
    (root / ".staging").write_text("in the way")
    code, out, err = await run("pull", NAME)
    assert (code, out) == (1, "")
    assert str(root / ".staging") in err


# ---- how far a pull is


@asynccontextmanager
async def trickling(for_s):
    """A web server of a file that takes a while; gives its URL."""

    class Trickle(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "20000")
            self.end_headers()
            for _ in range(20 if self.command == "GET" else 0):
                self.wfile.write(b"x" * 1000)
                time.sleep(for_s / 20)

        do_HEAD = do_GET  # noqa: N815 - of http.server

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/weights.bin"
        finally:
            server.shutdown()
            await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("where", [[], ["--at-daemon"]])
async def test_how_far_a_pull_is_stands_on_stderr_and_what_is_installed_on_stdout(
    run, quick, where
):
    async with trickling(for_s=0.5) as source:
        code, out, err = await run("pull", NAME, "--source", source, *where, "-o", "name")
    assert (code, out) == (0, f"{ENTRY}\n")
    assert re.search(rf"^discoveryctl: {NAME}: .* of 19.5 KiB, 0 of 1 files$", err, re.MULTILINE)
    assert "\r" not in err


class Stderr:
    """What is written to stderr, by whom it may be a terminal."""

    def __init__(self, *, is_terminal):
        self.text, self._is_terminal = "", is_terminal

    def isatty(self):
        return self._is_terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    async def until(self, text):
        await until(lambda: text in self.text)


@pytest.fixture
def stderr(monkeypatch):
    def replaced(kind=Stderr, *, is_terminal):
        monkeypatch.setattr(sys, "stderr", kind(is_terminal=is_terminal))
        return sys.stderr

    return replaced


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(pulling, "_QUIET_S", 0.0)
    monkeypatch.setattr(pulling, "_LOOK_S", 0.005)
    monkeypatch.setattr(pulling, "_LINE_S", 0.02)


async def test_where_there_is_no_terminal_each_step_is_a_line_and_so_is_how_far_it_is(
    stderr, quick
):
    seen = stderr(is_terminal=False)
    async with telling("m\x1b") as progress:
        progress.begin("waiting", "process 7 on h")
        await seen.until("discoveryctl: m?: waiting for process 7 on h\n")
        progress.begin("waiting", "process 8 on h")
        await seen.until("process 8")
        progress.begin("listing")
        await seen.until("m?: listing\n")
        progress.begin("copying")
        progress.expect(2, 4 << 20)
        progress.add(1 << 20, is_resumed=True)
        await seen.until("m?: 1.0 MiB of 4.0 MiB, 0 of 2 files, 1.0 MiB were here\n")
        progress.add(1 << 20)
        await seen.until("m?: 2.0 MiB of 4.0 MiB, 0 of 2 files")
        progress.begin("installing")
        await seen.until("m?: installing\n")
    assert seen.text.count("listing") == 1


async def test_what_takes_no_time_is_not_told_of(stderr):
    for is_terminal in (False, True):
        seen = stderr(is_terminal=is_terminal)
        async with telling("m") as progress:
            progress.begin("copying")
            progress.expect(1, 5)
            progress.add(5)
        assert seen.text == ""


async def test_at_a_terminal_a_bar_grows_in_one_line(stderr, quick):
    seen = stderr(is_terminal=True)
    async with telling("m" * 99) as progress:
        progress.begin("waiting", "process 7 on h")
        await seen.until("waiting for process 7 on h\n")
        progress.begin("copying")  # nobody has said yet how much there is
        await asyncio.sleep(0.02)
        progress.expect(2, 4 << 20)
        await seen.until("  0%  0 B of 4.0 MiB")
        progress.add(1 << 20)
        await seen.until(" 25%  1.0 MiB of 4.0 MiB")
        progress.add(3 << 20)
        await seen.until("100%  4.0 MiB of 4.0 MiB")
        progress.begin("installing")
        await seen.until("100%  installing")
    said, *drawn = seen.text.split("\r")
    assert said.count("\n") == 1
    assert all(len(line) <= 80 + len("\x1b[?25l") for line in drawn[:-1])
    assert seen.text.endswith("\x1b[?25h\n")  # the cursor is shown again


async def test_a_bar_ends_where_it_is_when_the_pull_fails(stderr, quick):
    async def fail(seen):
        async with telling("m") as progress:
            progress.begin("copying")
            progress.expect(1, 4 << 20)
            progress.add(1 << 20)
            await seen.until(" 25%")
            raise NotFoundError("x")

    seen = stderr(is_terminal=True)
    with pytest.raises(NotFoundError):
        await fail(seen)
    assert seen.text.endswith("\x1b[?25h\n")
    assert "100%" not in seen.text


async def test_nobody_who_reads_what_is_told_is_no_error(stderr, quick):
    class Closed(Stderr):
        def write(self, text):
            self.text += text
            raise BrokenPipeError

    for is_terminal in (False, True):
        seen = stderr(Closed, is_terminal=is_terminal)
        async with telling("m") as progress:
            progress.begin("copying")
            progress.expect(1, 5)
            await seen.until("m")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_a_number_of_bytes_is_told_with_its_unit(count, text):
    assert size(count) == text


# ---- as processes


@asynccontextmanager
async def held(root):
    """Nobody else pulls or drops the model while the block runs."""
    lock = locked(root, ENTRY)
    await asyncio.to_thread(lock.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.__exit__, None, None, None)


@pytest.fixture
async def daemon(root, folder, tmp_path, monkeypatch):
    """A daemon with a cache of its own; gives its URL and the cache's folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with daemon_place() as place, place.connect() as d:
        await d.catalog.register(NAME, artifact_path=str(folder), **MODEL)
        manifest = await d.artifacts.pull(NAME)
        await ArtifactCache(root).pull(d, NAME)
        yield d, (await d.artifacts.inspect(NAME)).path.parent, manifest


@pytest.mark.parametrize("is_at_daemon", [False, True])
async def test_ctrl_c_ends_a_pull_soon_and_what_was_there_stays(daemon, root, is_at_daemon):
    d, daemons, before = daemon
    words = ("pull", NAME, *(["--at-daemon"] if is_at_daemon else []), "--url", d.url)
    cache = ArtifactCache(daemons if is_at_daemon else root)
    async with (
        held(await cache.root()),
        program(*JOINED, "artifacts", *words) as pulling,
    ):
        await said(pulling, f"{NAME}: waiting for process")
        pulling.send_signal(signal.SIGINT)
        began = time.monotonic()
        ends = "it goes on at the daemon" if is_at_daemon else "stopped"
        await said(pulling, f"{NAME}: {ends}")
        assert await pulling.ended() == 130
        assert time.monotonic() - began < 5.0
        report = await cache.inspect(ENTRY, is_deep=True)
        assert report.status == "installed"
        assert [file.path for file in report.manifest.files] == [f.path for f in before.files]


async def test_at_a_terminal_a_bar_stands_above_what_is_installed_then(daemon):
    d, _, _ = daemon
    async with trickling(for_s=2.0) as source:
        words = ("artifacts", "pull", NAME, "--source", source)
        terminal = await Terminal.run(*CTL, *words, env={"DISCOVERY_URL": d.url, "NO_COLOR": "1"})
        try:
            seen = await terminal.seen()
            assert await terminal.ended() == 0
        finally:
            await terminal.end()
    bar, table = seen.rsplit("\x1b[?25h", 1)
    assert re.search(rf"{NAME}  \[#+-*\]  +\d+%", bar)
    assert "of 19.5 KiB" in bar
    assert "100%" in bar
    assert [line.split()[0] for line in table.strip().splitlines()] == ["NAME", ENTRY]
