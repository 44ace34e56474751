"""`discoveryctl register`: held while it runs, told when it is lost, gone when it ends."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

import discovery
from tests.cli.ctl import CTL, JOINED, PLACE, coming, ctl, fleet, said
from tests.support.processes import daemon, free_ports, program

AT = "prod/vllm/generate"
TCP = ("--tcp", "10.0.0.7:9000/generate")


@pytest.fixture
def card(tmp_path):
    file = tmp_path / "card.json"
    file.write_text(json.dumps({"display_name": "m", "source_path": "org/m"}))
    return str(file)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_an_endpoint_and_its_model_are_one_unit_until_a_signal_ends_it(card, number, code):
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    words = ("register", "endpoint", AT, *TCP, "--device", "cuda", "--model", card)
    async with daemon(port), discovery.connect(url) as d:
        async with program(*CTL, *words, "--instance-id", "1a2b", "--url", url) as holding:
            endpoint, model = await holding.hear(), await holding.hear()
            assert endpoint["id"] == f"endpoints/{AT}/1a2b"
            assert model["id"] == f"models/{AT}/1a2b"
            assert endpoint["revision"] == model["revision"]
            (listed,) = await d.list(discovery.EndpointQuery(**PLACE))
            assert (listed.transport, listed.device_type) == ({"tcp": TCP[1]}, "cuda")
            async with d.watch(discovery.ModelQuery(**PLACE)) as stream:
                events = aiter(stream)
                assert (await coming(events)).instance.display_name == "m"
                holding.send_signal(number)
                assert (await coming(events)).cause is discovery.Cause.UNREGISTERED
            assert await holding.ended() == code


async def test_a_model_and_its_adapter_stand_beside_each_other(card):
    async with fleet() as (url, d):
        adapter = '{"display_name": "m-fr", "source_path": "org/m", "lora": {"name": "fr"}}'
        words = ("register", "model", AT, "--card", "-", "--suffix", "fr", "-o", "name")
        async with program(*CTL, *words, "--url", url, "--ttl", "3") as holding:
            holding.tell(adapter)
            holding.process.stdin.close()
            line = (await holding.process.stdout.readline()).decode().strip()
            assert line.endswith("/fr")
            assert line in [str(i.id) for i in await d.list(discovery.ModelQuery(**PLACE))]
            leases = [row for row in await d.leases() if row["ttl_s"] == 3.0]
            assert len(leases) == 1


@pytest.mark.parametrize(
    ("place", "way", "address"),
    [
        ("prod/news", ("--zmq", "tcp://h:1"), "tcp://h:1"),
        ("prod/vllm/kv", ("--nats", "kv.prod"), "kv.prod"),
        ("prod/vllm/kv", ("--xsub", "tcp://h:1", "--xpub", "tcp://h:2"), "tcp://h:1"),
    ],
)
async def test_a_channel_is_registered_under_the_id_of_its_lease(place, way, address):
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port, "--registry-event-generation", "b"), discovery.connect(url) as d:
        words = ("register", "channel", place, *way, "--instance-id", "7", "--url", url)
        async with program(*CTL, *words) as holding:
            row = await holding.hear()
            assert (row["id"], row["address"]) == (f"channels/{place}/7", address)
            assert [lease["id"] for lease in await d.leases()] == ["7"]


async def test_a_conflict_is_exit_code_4_and_names_the_incumbent():
    async with fleet() as (url, _):
        words = ("register", "model", AT, "--card", "-")
        code, out, err = await ctl(url, *words, stdin='{"display_name": "other"}')
    assert (code, out) == (4, "")
    assert "Cannot register model 'other' on endpoint 'prod/vllm/generate'" in err
    assert "a different model 'm' is already registered there (1 instance" in err
    assert "hint: see who serves 'm': discoveryctl get models prod/vllm/generate" in err


async def test_an_instance_id_that_is_held_is_exit_code_4():
    async with fleet() as (url, _):
        words = ("register", "endpoint", AT, *TCP, "--instance-id", "1a2b")
        code, out, err = await ctl(url, *words)
    assert (code, out) == (4, "")
    assert "hint: see who holds what: discoveryctl get leases" in err


async def test_it_says_that_the_daemon_went_and_registers_again_when_one_comes():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    beats = ("--watch-beat-interval-s", "0.1")
    words = ("register", "endpoint", AT, *TCP, "--url", url, "-o", "name")
    async with program(*JOINED, *words) as holding:
        async with daemon(port, *beats), discovery.connect(url) as d:
            identity = await said(holding, "endpoints/")
            while len(await d.watchers()) < 1:  # it looks at what others see of it
                await asyncio.sleep(0.02)
        await said(holding, "discoveryctl: no daemon answers; what is registered ends 10 s after")
        async with daemon(port, *beats):
            await said(holding, "discoveryctl: a daemon answers again")
            async with (
                discovery.connect(url) as d,
                d.watch(discovery.EndpointQuery(**PLACE)) as stream,
            ):
                event = await coming(aiter(stream))
                assert str(event.instance.id) == identity
            holding.send_signal(signal.SIGTERM)
            assert await holding.ended() == 0


async def test_it_says_that_it_was_lost_with_its_lease_and_is_back():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    words = ("register", "endpoint", AT, *TCP, "--url", url, "--ttl", "1", "-o", "name")
    async with daemon(port), discovery.connect(url) as d:
        async with program(*JOINED, *words) as holding:
            identity = await said(holding, "endpoints/")
            async with d.watch(discovery.EndpointQuery(**PLACE)) as stream:
                events = aiter(stream)
                await coming(events)
                holding.send_signal(signal.SIGSTOP)
                assert (await coming(events)).cause is discovery.Cause.LEASE_EXPIRED
                holding.send_signal(signal.SIGCONT)
                assert str((await coming(events)).instance.id) == identity
            line = await said(holding, "lost")  # told at once or, if it came back before, later
            assert line in {
                f"discoveryctl: lost: {identity}: lease_expired",
                f"discoveryctl: lost meanwhile: {identity}",
            }
            assert await said(holding, "again: ") == f"discoveryctl: registered again: {identity}"


async def test_it_ends_with_4_when_another_model_has_come_meanwhile():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    words = ("register", "model", AT, "--card", "-", "--url", url, "--ttl", "1", "-o", "name")
    async with daemon(port), discovery.connect(url) as d:
        async with program(*JOINED, *words) as holding:
            holding.tell('{"display_name": "first"}')
            holding.process.stdin.close()
            await said(holding, "models/")
            async with d.watch(discovery.ModelQuery(**PLACE)) as stream:
                events = aiter(stream)
                await coming(events)
                holding.send_signal(signal.SIGSTOP)
                assert (await coming(events)).cause is discovery.Cause.LEASE_EXPIRED
            await d.register(discovery.ModelSpec(**PLACE, card={"display_name": "second"}))
            holding.send_signal(signal.SIGCONT)
            await said(holding, "discoveryctl: Cannot register model 'first'")
            assert await holding.ended() == 4


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["endpoint", AT], "expected one of --tcp, --nats and --http"),
        (["endpoint", AT, *TCP, "--http", "http://x"], "expected one of"),
        (["endpoint", "prod/vllm", *TCP], "2 names, expected namespace/component/endpoint"),
        (["endpoint", "prod/vllm/..", *TCP], "endpoint '..' is a relative path"),
        (["endpoint", AT, *TCP, "--device", "abacus"], "abacus"),
        (["endpoint", AT, *TCP, "--ttl", "0"], "0"),
        (["endpoint", AT, *TCP, "--ttl", "1e9"], "1000000000"),
        (["endpoint", AT, *TCP, "--instance-id", "zz"], "Invalid instance_id hex"),
        (["endpoint", AT, *TCP, "--instance-id", "1" + "0" * 16], "number too large"),
        (["endpoint", AT, *TCP, "--instance-id", "0"], "instance_id 0"),
        (["model", AT], "--card"),
        (["model", AT, "--card", "no/such/file"], "card no/such/file: No such file"),
        (["channel", "prod", "--zmq", "tcp://x:1"], "expected NS/TOPIC"),
        (["channel", "prod/t"], "expected one of --zmq, --nats"),
        (["channel", "prod/t", "--xpub", "tcp://x:1"], "must have an address"),
        (["chanel", "prod/t"], "chanel"),
    ],
)
async def test_a_wrong_argument_is_exit_code_2_and_named(words, said_of_it):
    code, out, err = await ctl("zmq://127.0.0.1:1", "register", *words)
    assert (code, out) == (2, "")
    assert said_of_it in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "said_of_it"),
    [
        ("", "not JSON"),
        ("[1]", "expected a JSON object"),
        ("{}", "display_name"),
        ('{"display_name": ""}', "display_name"),
        ('{"display_name": "m", "display_name": "n"}', "appears twice"),
        ('{"display_name": "m", "x": NaN}', "not JSON"),
        ('{"display_name": "m", "x": 18446744073709551616}', "64 bits"),
        ('{"display_name": "m", "x": ' + "[" * 10_000 + "]" * 10_000 + "}", "card -:"),
        ('{"display_name": "m", "source_path": 1}', "source_path"),
    ],
    ids=lambda text: text[:40],
)
async def test_a_wrong_card_is_exit_code_2_and_says_what(text, said_of_it):
    words = ("register", "model", AT, "--card", "-")
    code, out, err = await ctl("zmq://127.0.0.1:1", *words, stdin=text)
    assert (code, out) == (2, "")
    assert said_of_it in err
    assert err.count("\n") == 1
