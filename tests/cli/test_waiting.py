"""`discoveryctl wait`: ends when something is so, or with 3."""

from __future__ import annotations

import json

import pytest

import discovery
from tests.cli.ctl import CTL, PLACE, ctl, fleet
from tests.support.processes import daemon, free_ports, program

AT = "prod/vllm/generate"
MODEL = f"models/{AT}/1a2b"


@pytest.mark.parametrize(
    "words",
    [
        [f"models/{AT}"],
        ["model/prod", "--for", "count=1"],
        [MODEL, "--for=exists"],
        [MODEL, "--for=count=1"],
    ],
)
async def test_what_is_so_already_is_printed_at_once(words):
    async with fleet() as (url, _):
        assert await ctl(url, "wait", *words, "-o", "name") == (0, f"{MODEL}\n", "")


async def test_it_waits_for_the_daemon_and_then_for_what_is_registered_there():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    words = ("wait", f"models/{AT}", "--for", "count=2", "--url", url)
    async with program(*CTL, *words) as waiting:
        async with daemon(port), discovery.connect(url) as one, discovery.connect(url) as two:
            for d in (one, two):
                await d.register(discovery.ModelSpec(**PLACE, card={"display_name": "m"}))
            rows = [await waiting.hear(), await waiting.hear()]
            assert await waiting.ended() == 0
    assert {row["model"] for row in rows} == {"m"}


async def test_what_goes_is_waited_for_and_nothing_is_printed():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    words = ("wait", f"endpoints/{AT}", "--for", "gone", "--url", url)
    async with daemon(port, "--lease-recovery-s", "0"), discovery.connect(url) as d:
        spec = discovery.EndpointSpec(**PLACE, transport={"tcp": "x:1"})
        instance = await d.register(spec)
        async with program(*CTL, *words) as waiting:
            while not await d.watchers():
                pass
            await d.unregister(instance)
            assert await waiting.process.stdout.read() == b""
            assert await waiting.ended() == 0


async def test_while_a_new_daemon_has_not_heard_from_all_nothing_counts_as_gone():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    words = ("wait", "endpoints/prod", "--for", "gone", "--timeout", "1")
    async with daemon(port, "--lease-recovery-s", "60"):
        code, out, err = await ctl(url, *words)
    assert (code, out) == (3, "")
    assert err == "discoveryctl: endpoints/prod: gone: not so within 1 s, there are 0\n"


async def test_too_few_is_exit_code_3_and_says_how_many_there_are():
    async with fleet() as (url, _):
        words = ("wait", "models/prod", "--for", "count=3", "--timeout", "0.5")
        code, out, err = await ctl(url, *words)
    assert (code, out) == (3, "")
    assert err == "discoveryctl: models/prod: count=3: not so within 0.5 s, there are 1\n"


async def test_the_daemon_is_waited_for():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with program(*CTL, "wait", "daemon", "--url", url) as waiting:
        async with daemon(port):
            told = await waiting.hear()
            assert await waiting.ended() == 0
    assert told["store"] == "memory://"
    code, out, err = await ctl(url, "wait", "daemon", "--timeout", "0.5")
    assert (code, out) == (3, "")
    assert "hint: start a daemon with" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nodes/x"], "unknown kind 'nodes'"),
        (["endpoints", "--for", "many"], "expected exists, gone or count=N"),
        (["endpoints", "--for", "count=-1"], "expected exists, gone or count=N"),
        (["endpoints/a/b/c/zz"], "Invalid instance_id hex"),
        (["daemon", "--for", "gone"], "a daemon can only be ready"),
        (["endpoints", "--timeout", "0"], "0"),
    ],
)
async def test_a_wrong_argument_is_exit_code_2_and_named(words, said):
    code, out, err = await ctl("zmq://127.0.0.1:1", "wait", *words)
    assert (code, out) == (2, "")
    assert said in err


async def test_an_adapter_is_waited_for_by_its_own_id():
    async with fleet() as (url, d):
        card = {"display_name": "m-fr", "source_path": "org/m", "lora": {"name": "fr"}}
        await d.register(discovery.ModelSpec(**PLACE, card=card, suffix="fr"))
        _, out, _ = await ctl(url, "wait", f"{MODEL}/fr")
    assert json.loads(out)["lora"] == "fr"
