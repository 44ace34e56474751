"""`discoveryctl catalog`, as its users run it."""

from __future__ import annotations

import json
import re
import signal

import pytest

import discovery
from tests.cli.ctl import CTL, JOINED, ctl, said
from tests.support.processes import daemon, free_ports, program

NAME = "org/bge"
WHAT = ("--model-type", "embedding", "--backend", "vllm", "--task", "embed")
COLUMNS = {"model_type": "embedding", "backend": "vllm", "task": "embed"}


@pytest.fixture
async def url():
    port = free_ports()
    async with daemon(port):
        yield f"zmq://127.0.0.1:{port}"


def rows_of(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


async def test_a_model_is_registered_as_it_is_described_and_printed_as_it_is_stored(url):
    more = ("--version", "3", "--artifact-path", "s3://w", "--config", '{"dtype": "fp16"}')
    base = ("--base-model", "org/base::1")
    code, out, err = await ctl(url, "catalog", "register", NAME, *WHAT, *more, *base)
    assert (code, err) == (0, "")
    (row,) = rows_of(out)
    assert {name: row[name] for name in COLUMNS} == COLUMNS
    assert (row["key"], row["tenant"], row["status"]) == (f"{NAME}::3", None, "registered")
    assert (row["artifact_path"], row["config"]) == ("s3://w", {"dtype": "fp16"})
    assert row["base_model"] == "org/base::1"
    async with discovery.connect(url) as d:
        assert (await d.catalog.get(NAME)).to_wire() == row


async def test_a_config_comes_from_a_file_or_from_stdin(url, tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"a": 1}')
    words = ("catalog", "register", NAME, *WHAT, "--config")
    for source, stdin, config in ((f"@{file}", "", {"a": 1}), ("@-", '{"b": 2}', {"b": 2})):
        code, out, err = await ctl(url, *words, source, stdin=stdin)
        assert (code, err) == (0, "")
        assert rows_of(out)[0]["config"] == config


async def test_a_name_stands_for_its_highest_version_and_none_is_exit_code_5(url):
    async with discovery.connect(url) as d:
        one, two = [await d.catalog.register(NAME, version=n, **COLUMNS) for n in (1, 2)]
    for words, record in (([], two), (["--version", "1"], one)):
        code, out, err = await ctl(url, "catalog", "get", NAME, *words, "-o", "json")
        assert (code, err) == (0, "")
        assert json.loads(out) == record.to_wire()
    assert await ctl(url, "catalog", "get", NAME, "-o", "name") == (0, f"{NAME}::2\n", "")
    code, out, err = await ctl(url, "catalog", "get", NAME, "--version", "3")
    assert (code, out) == (5, "")
    assert f"model {NAME} version 3: not in the catalog" in err
    assert "hint: see what there is: discoveryctl catalog list" in err


async def test_the_list_has_every_form(url):
    assert await ctl(url, "catalog", "list") == (0, "", "")
    nothing = "discoveryctl: no models in the catalog\n"
    assert await ctl(url, "catalog", "list", "-o", "table") == (0, "", nothing)
    async with discovery.connect(url) as d:
        records = [await d.catalog.register(name, **COLUMNS) for name in ("b", "a")]
    wire = [record.to_wire() for record in records]
    assert rows_of((await ctl(url, "catalog", "list"))[1]) == wire
    assert json.loads((await ctl(url, "catalog", "list", "-o", "json"))[1]) == wire
    assert await ctl(url, "catalog", "list", "-o", "name") == (0, "b::1\na::1\n", "")
    table = (await ctl(url, "catalog", "list", "-o", "table"))[1].splitlines()
    heads = ["KEY", "MODEL TYPE", "BACKEND", "TASK", "STATUS", "ARTIFACT PATH"]
    assert re.split("  +", table[0]) == heads
    assert table[1].split() == ["b::1", "embedding", "vllm", "embed", "registered", "-"]
    wide = (await ctl(url, "catalog", "list", "-o", "wide"))[1]
    assert wide.splitlines()[2].split()[-2:] == [records[1].updated_at, str(records[1].revision)]


async def test_a_retired_model_is_found_and_not_listed_and_retiring_none_is_exit_code_5(url):
    async with discovery.connect(url) as d:
        await d.catalog.register(NAME, **COLUMNS)
    code, out, err = await ctl(url, "catalog", "retire", NAME)
    assert (code, err) == (0, "")
    assert rows_of(out)[0]["status"] == "retired"
    assert await ctl(url, "catalog", "list") == (0, "", "")
    assert rows_of((await ctl(url, "catalog", "get", NAME))[1]) == rows_of(out)
    code, out, err = await ctl(url, "catalog", "retire", "org/other")
    assert (code, out) == (5, "")
    assert "hint: see what there is: discoveryctl catalog list" in err


async def test_a_tenant_has_models_of_its_own_and_sees_those_of_everybody(url):
    for tenant in ([], ["--tenant", "acme"]):
        assert (await ctl(url, *tenant, "catalog", "register", NAME, *WHAT))[0] == 0
    keys = {"acme": f"acme::{NAME}::1\n", "other": f"{NAME}::1\n"}
    for tenant, key in keys.items():
        env = {"DISCOVERY_TENANT": tenant}
        assert await ctl(url, "catalog", "get", NAME, "-o", "name", env=env) == (0, key, "")
        words = ("catalog", "get", NAME, "-o", "name", "--tenant", tenant)  # stronger than env
        assert await ctl(url, *words, env={"DISCOVERY_TENANT": "x"}) == (0, key, "")
    assert (await ctl(url, "catalog", "retire", NAME, "--tenant", "other"))[0] == 5
    listed = await ctl(url, "catalog", "list", "-o", "name", env={"DISCOVERY_TENANT": ""})
    assert listed == (0, keys["other"], "")


async def test_watch_shows_each_model_and_again_each_that_changes(url):
    async with discovery.connect(url) as d:
        one = await d.catalog.register("one", **COLUMNS)
        two = await d.catalog.register("two", **COLUMNS)
        async with program(*CTL, "catalog", "watch", "--url", url) as watching:
            assert [await watching.hear(), await watching.hear()] == [one.to_wire(), two.to_wire()]
            retired = await d.catalog.retire("one")
            assert await watching.hear() == retired.to_wire()
            three = await d.catalog.register("three", **COLUMNS)
            assert await watching.hear() == three.to_wire()
            watching.send_signal(signal.SIGINT)
            assert await watching.ended() == 130


async def test_watch_says_when_no_daemon_answers_and_when_one_does_again():
    port = free_ports()
    words = ("catalog", "watch", "-o", "name", "--url", f"zmq://127.0.0.1:{port}")
    beats = ("--watch-beat-interval-s", "0.1")
    async with daemon(port, *beats) as first, program(*JOINED, *words) as watching:
        code, _, _ = await ctl(words[-1], "catalog", "register", NAME, *WHAT)
        assert code == 0
        await said(watching, f"{NAME}::1")
        first.send_signal(signal.SIGTERM)
        await first.ended()
        await said(watching, "no daemon answers; what is shown is the last that was known")
        async with daemon(port, *beats):
            await said(watching, "a daemon answers again")


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["register", NAME], "--model-type"),
        (["register", NAME, *WHAT, "--task", "sing"], "'sing' is not one of 'embed'"),
        (["register", NAME, *WHAT, "--version", "0"], "0 is not in the range"),
        (["register", NAME, *WHAT, "--config", "{"], "--config: body of 1 bytes is not JSON"),
        (["register", NAME, *WHAT, "--config", "[]"], "--config: expected a JSON object"),
        (["register", NAME, *WHAT, "--config", "@no/such"], "--config @no/such: No such file"),
        (["get", NAME, "--version", "x"], "'x' is not a valid integer"),
        (["list", "--tenant", "a::b"], "tenant 'a::b': expected no '::'"),
        (["list", "--tenant", ""], "tenant '': expected 1 to 64 bytes"),
        (["lists"], "lists"),
    ],
)
async def test_a_wrong_argument_is_exit_code_2_and_named(words, said_of_it):
    code, out, err = await ctl("zmq://127.0.0.1:1", "catalog", *words)
    assert (code, out) == (2, "")
    assert said_of_it in err
    assert "Traceback" not in err


async def test_what_the_catalog_refuses_is_exit_code_2_and_named(url):
    words = ("register", NAME, *WHAT, "--base-model", "nokey")
    code, out, err = await ctl(url, "catalog", *words)
    assert (code, out) == (2, "")
    assert "catalog key 'nokey': expected name::version" in err
    code, out, err = await ctl(url, "catalog", "get", "a::1")
    assert (code, out) == (2, "")
    assert "name 'a::1': expected no '::'" in err


async def test_no_daemon_is_exit_code_3():
    url = f"zmq://127.0.0.1:{free_ports()}"
    for words in (["list"], ["get", NAME], ["watch"], ["retire", NAME]):
        code, out, err = await ctl(url, "catalog", *words, "--timeout", "0.2")
        assert (code, out) == (3, "")
        assert "hint: start a daemon with" in err
