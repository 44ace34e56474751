"""`discoveryctl rm` and `drain`, and what watchers see of them."""

from __future__ import annotations

import json
import signal

import pytest

import discovery
from tests.cli.ctl import CTL, JOINED, PLACE, coming, ctl, fleet, said
from tests.support.processes import program

AT = "prod/vllm/generate"
ENDPOINT, MODEL = f"endpoints/{AT}/1a2b", f"models/{AT}/1a2b"


async def test_rm_removes_a_record_of_another_process_and_watchers_see_why():
    async with fleet() as (url, d), d.watch(discovery.ModelQuery(**PLACE)) as stream:
        events = aiter(stream)
        await coming(events)
        code, out, err = await ctl(url, "rm", MODEL)
        gone = await coming(events)
        assert (code, json.loads(out), err) == (0, {"id": MODEL, "event": "removed"}, "")
        assert (str(gone.id), gone.cause) == (MODEL, discovery.Cause.REVOKED)
        assert len(await d.list(discovery.EndpointQuery())) == 1


async def test_rm_tries_all_ids_and_ends_with_the_first_error():
    async with fleet() as (url, d):
        words = ("rm", f"models/{AT}/9", ENDPOINT, "-o", "name")
        code, out, err = await ctl(url, *words)
        assert (code, out) == (5, f"{ENDPOINT}\n")
        assert f"models/{AT}/9" in err
        assert not await d.list(discovery.EndpointQuery())


@pytest.mark.parametrize("name", ["1a2b", ENDPOINT, MODEL])
async def test_drain_takes_all_of_a_process_away_and_keeps_it_away(name):
    async with fleet() as (url, d):
        code, out, err = await ctl(url, "drain", name)
        assert (code, err) == (0, "")
        assert json.loads(out) == {"id": "1a2b", "event": "drained", "records": 3}
        for query in (discovery.EndpointQuery(), discovery.ModelQuery()):
            assert not await d.list(query)
        with pytest.raises(discovery.FailedPreconditionError, match="drain"):
            await d.register(discovery.EndpointSpec(**PLACE, transport={"tcp": "x:1"}))


async def test_drain_of_nobody_is_exit_code_5():
    async with fleet() as (url, _):
        code, out, err = await ctl(url, "drain", "99")
    assert (code, out) == (5, "")
    assert "99" in err


async def test_what_register_holds_ends_with_4_when_it_is_drained():
    async with fleet() as (url, _):
        words = ("register", "endpoint", "prod/vllm/other", "--tcp", "x:1", "-o", "name")
        async with program(*JOINED, *words, "--url", url, "--ttl", "1.5") as holding:
            identity = await said(holding, "endpoints/")
            code, _, err = await ctl(url, "drain", identity)
            assert (code, err) == (0, "")
            assert identity in await said(holding, "lost: ")
            await said(holding, "drain")
            assert await holding.ended() == 4


async def test_a_cause_is_shown_with_its_evidence():
    async with fleet() as (url, d):
        watch = (*CTL, "--url", url, "watch", "endpoints")
        async with program(*watch) as lines, program(*watch, "-o", "table") as table:
            await lines.hear()
            await said(table, ENDPOINT)
            await d.revoke(cause=discovery.Cause.CRASHED, detail="exit status 1")
            gone = await lines.hear()
            assert (gone["cause"], gone["detail"]) == ("crashed", "exit status 1")
            assert (await said(table, "removed")).endswith("crashed (exit status 1)")
            for watching in (lines, table):
                watching.send_signal(signal.SIGINT)
                assert await watching.ended() == 130


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["rm"], "Missing argument 'ID...'"),
        (["rm", "1a2b"], "expected endpoints/NS/COMP/EP/ID"),
        (["rm", "models/prod/vllm"], "expected 4 or 5 parts, got 2"),
        (["rm", "endpoints/prod/../generate/1"], "'..'"),
        (["drain", "zz"], "Invalid instance_id hex"),
        (["drain", "nodes/prod/1"], "expected endpoints/…"),
    ],
)
async def test_a_wrong_id_is_exit_code_2_before_anything_is_done(words, said_of_it):
    code, out, err = await ctl("zmq://127.0.0.1:1", *words)
    assert (code, out) == (2, "")
    assert said_of_it in err
