"""`discoveryctl claims`, as its users run it."""

from __future__ import annotations

import json
import signal

import pytest

import discovery
from discovery.claimrecord import claim_to_wire
from tests.cli.ctl import CTL, JOINED, ctl, said
from tests.support.processes import daemon, free_ports, program

NAME = "org/m"
HEADS = ("STATUS", "LAST", "USED", "AT", "MESSAGE")
MODEL = (NAME, "--provider", "HuggingFace")


@pytest.fixture
async def url():
    port = free_ports()
    async with daemon(port):
        yield f"zmq://127.0.0.1:{port}"


@pytest.fixture
async def d(url):
    async with discovery.connect(url) as d:
        yield d


def holding(url: str, *words: str, command=CTL):
    return program(*command, "claims", *words, "--url", url)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_a_claim_is_held_until_a_signal_ends_it_and_is_owner_lost_then(url, d, number, code):
    async with holding(url, "try", *MODEL, command=JOINED) as trying:
        row = json.loads(await said(trying, NAME))
        assert (row["model_name"], row["provider"]) == (NAME, "HuggingFace")
        assert (row["status"], row["message"]) == ("DOWNLOADING", "Starting download...")
        assert row == claim_to_wire(await d.claims.record(NAME))
        trying.send_signal(number)
        await said(trying, f"claim {NAME} of HuggingFace: given up, so it is ERROR 'owner lost'")
        assert await trying.ended() == code
    record = await d.claims.record(NAME)
    assert (record.status, record.message, record.owner) == ("ERROR", "owner lost", None)


async def test_the_claim_of_a_command_that_is_killed_ends_with_its_ttl(url, d):
    async with holding(url, "try", *MODEL, "--ttl", "1") as trying:
        await trying.hear()
        async with d.claims.wait(NAME, "HuggingFace") as stream:
            assert (await anext(stream)).status == "DOWNLOADING"
            trying.send_signal(signal.SIGKILL)
            assert (await anext(stream)).message == "owner lost"


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("DOWNLOADING", f"wait for it: discoveryctl claims wait {' '.join(MODEL)}"),
        ("DOWNLOADED", f"to have it downloaded again: discoveryctl claims delete {NAME}"),
        ("ERROR", f"take it over: discoveryctl claims reset {' '.join(MODEL)}"),
    ],
)
async def test_what_is_claimed_already_is_exit_code_4_and_says_what_it_is(url, d, status, hint):
    await d.claims.set_status(NAME, "HuggingFace", status)
    code, out, err = await ctl(url, "claims", "try", *MODEL)
    assert (code, out) == (4, "")
    assert err == (
        f"discoveryctl: claim {NAME} of HuggingFace: there is one already, it is {status}\n"
        f"hint: {hint}\n"
    )


async def test_an_error_is_taken_over_and_nothing_else_is(url, d):
    code, out, err = await ctl(url, "claims", "reset", *MODEL)
    assert (code, out) == (5, "")
    assert f"hint: claim it: discoveryctl claims try {' '.join(MODEL)}" in err
    await d.claims.set_status(NAME, "HuggingFace", "DOWNLOADED")
    code, out, err = await ctl(url, "claims", "reset", *MODEL)
    assert (code, out) == (4, "")
    assert f"claim {NAME} of HuggingFace: is DOWNLOADED, expected ERROR" in err
    await d.claims.set_status(NAME, "HuggingFace", "ERROR", "no space")
    async with holding(url, "reset", *MODEL) as resetting:
        row = await resetting.hear()
        assert (row["status"], row["message"]) == ("DOWNLOADING", "Retrying download...")


async def test_a_claim_that_is_deleted_is_lost_and_ends_the_command_with_4(url, d):
    async with holding(url, "try", *MODEL, command=JOINED) as trying:
        await said(trying, NAME)
        await d.claims.delete(NAME)
        assert await said(trying, "lost") == (
            f"discoveryctl: claim {NAME} of HuggingFace: lost, it was deleted"
        )
        assert await trying.ended() == 4
    assert await d.claims.record(NAME) is None


async def test_a_claim_whose_lease_ended_is_lost_and_ends_the_command_with_4(url, d):
    async with holding(url, "try", *MODEL, "--ttl", "1", command=JOINED) as trying:
        await said(trying, NAME)
        async with d.claims.wait(NAME, "HuggingFace") as stream:
            assert (await anext(stream)).status == "DOWNLOADING"
            trying.send_signal(signal.SIGSTOP)
            assert (await anext(stream)).message == "owner lost"
        trying.send_signal(signal.SIGCONT)
        await said(trying, f"claim {NAME} of HuggingFace: lost, it is ERROR (owner lost)")
        assert await trying.ended() == 4


@pytest.mark.parametrize("status", ["DOWNLOADED", "ERROR"])
async def test_a_status_is_written_and_printed(url, d, status):
    words = (*MODEL, "--status", status, "--message", "as was seen")
    code, out, err = await ctl(url, "claims", "set", *words)
    assert (code, err) == (0, "")
    record = await d.claims.record(NAME)
    assert json.loads(out) == claim_to_wire(record)
    assert (record.status, record.message) == (status, "as was seen")


async def test_what_is_set_is_that_of_its_own_provider(url, d):
    await d.claims.set_status(NAME, "HuggingFace", "DOWNLOADED")
    words = (NAME, "--provider", "Gcs", "--status", "ERROR")
    row = json.loads((await ctl(url, "claims", "set", *words))[1])
    assert (row["provider"], row["status"]) == ("Gcs", "ERROR")


async def test_who_sets_downloading_holds_the_claim_and_nobody_else_sets_anything(url, d):
    async with holding(url, "set", *MODEL, "--status", "DOWNLOADING") as setting:
        assert (await setting.hear())["status"] == "DOWNLOADING"
        code, out, err = await ctl(url, "claims", "set", *MODEL, "--status", "DOWNLOADED")
        assert (code, out) == (4, "")
        assert "is downloading, and lives" in err
        assert f"hint: wait for it: discoveryctl claims wait {' '.join(MODEL)}" in err
        setting.send_signal(signal.SIGTERM)
        assert await setting.ended() == 0
    assert (await ctl(url, "claims", "set", *MODEL, "--status", "DOWNLOADED"))[0] == 0
    assert await d.claims.status(NAME) == "DOWNLOADED"


async def test_the_list_begins_with_what_was_not_used_for_longest_and_has_every_form(url, d):
    assert await ctl(url, "claims", "list") == (0, "", "")
    said_of_none = "discoveryctl: no claims\n"
    assert await ctl(url, "claims", "list", "-o", "table") == (0, "", said_of_none)
    for name in ("a", "b"):
        await d.claims.set_status(name, "File", "DOWNLOADED", "\x1b[2J")
    await d.claims.touch("a")
    rows = [claim_to_wire(claim) for claim in await d.claims.by_last_used()]
    out = (await ctl(url, "claims", "list"))[1]
    assert [json.loads(line) for line in out.splitlines()] == rows
    assert json.loads((await ctl(url, "claims", "list", "-o", "json"))[1]) == rows
    assert await ctl(url, "claims", "list", "-o", "name") == (0, "b\na\n", "")
    assert await ctl(url, "claims", "list", "-o", "name", "--limit", "1") == (0, "b\n", "")
    table = (await ctl(url, "claims", "list", "-o", "table"))[1].splitlines()
    assert table[0].split() == ["MODEL", "NAME", "PROVIDER", *HEADS]
    assert table[1].split() == ["b", "File", "DOWNLOADED", rows[0]["last_used_at"], "?[2J"]


async def test_people_see_an_owner_as_ids_are_written(url, d):
    await d.claims.try_claim(NAME, "File")
    assert f"  {d.instance_id:x}  " in (await ctl(url, "claims", "list", "-o", "wide"))[1]
    lines = (await ctl(url, "claims", "get", NAME, "-o", "table"))[1].splitlines()
    assert f"owner         {d.instance_id:x}" in lines
    assert json.loads((await ctl(url, "claims", "get", NAME))[1])["owner"] == d.instance_id


async def test_one_claim_is_shown_touched_and_deleted(url, d):
    await d.claims.set_status(NAME, "Ngc", "DOWNLOADED")
    before = await d.claims.record(NAME)
    code, out, err = await ctl(url, "claims", "get", NAME, "-o", "json")
    assert (code, json.loads(out), err) == (0, claim_to_wire(before), "")
    code, out, err = await ctl(url, "claims", "touch", NAME)
    assert (code, err) == (0, "")
    assert json.loads(out) == claim_to_wire(await d.claims.record(NAME))
    assert json.loads(out)["last_used_at"] > before.last_used_at
    code, out, err = await ctl(url, "claims", "delete", NAME)
    assert (code, json.loads(out), err) == (0, {"model_name": NAME, "event": "deleted"}, "")
    assert await d.claims.record(NAME) is None


@pytest.mark.parametrize("command", ["get", "touch", "delete"])
async def test_what_nobody_has_claimed_is_exit_code_5(url, command):
    code, out, err = await ctl(url, "claims", command, NAME)
    assert (code, out) == (5, "")
    assert err == (
        f"discoveryctl: claim {NAME}: there is none\n"
        "hint: see what there is: discoveryctl claims list\n"
    )


async def test_the_claims_of_each_status_are_counted(url, d):
    await d.claims.try_claim("a", "File")
    for name in ("b", "c"):
        await d.claims.set_status(name, "File", "DOWNLOADED")
    code, out, err = await ctl(url, "claims", "counts")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"downloading": 1, "downloaded": 2, "error": 0}
    table = (await ctl(url, "claims", "counts", "-o", "table"))[1].splitlines()
    assert [line.split() for line in table] == [
        ["downloading", "1"],
        ["downloaded", "2"],
        ["error", "0"],
    ]


async def test_each_state_is_printed_until_it_is_the_one_that_is_waited_for(url, d):
    async with holding(url, "wait", *MODEL) as waiting:
        first = await waiting.hear()
        await d.claims.try_claim(NAME, "HuggingFace")
        second = await waiting.hear()
        assert second["status"] == "DOWNLOADING"
        named = {"model_name": NAME, "provider": "HuggingFace"}
        assert first == dict.fromkeys(second) | named
        await d.claims.set_status(NAME, "HuggingFace", "ERROR", "no space")
        assert (await waiting.hear())["message"] == "no space"
        await d.claims.set_status(NAME, "HuggingFace", "DOWNLOADED")
        assert (await waiting.hear()) == claim_to_wire(await d.claims.record(NAME))
        assert await waiting.ended() == 0


async def test_what_is_so_already_is_waited_for_no_longer(url, d):
    await d.claims.set_status(NAME, "HuggingFace", "ERROR", "no space")
    code, out, err = await ctl(url, "claims", "wait", *MODEL, "--for", "ERROR", "-o", "table")
    assert (code, err) == (0, "")
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["MODEL", "NAME", "PROVIDER"],
        [NAME, "HuggingFace", "ERROR"],
    ]


async def test_what_does_not_come_in_time_is_exit_code_3_and_says_what_it_is(url, d):
    for status in ("unclaimed", "DOWNLOADING"):
        code, _, err = await ctl(url, "claims", "wait", *MODEL, "--timeout", "0.5")
        assert code == 3
        assert err == (
            f"discoveryctl: claim {NAME} of HuggingFace: DOWNLOADED: not so within 0.5 s, "
            f"it is {status}\n"
        )
        await d.claims.try_claim(NAME, "HuggingFace")


async def test_no_daemon_is_exit_code_3():
    url = f"zmq://127.0.0.1:{free_ports()}"
    for words in (["list"], ["get", NAME], ["counts"], ["try", *MODEL], ["wait", *MODEL]):
        code, out, err = await ctl(url, "claims", *words, "--timeout", "0.2")
        assert (code, out) == (3, "")
        assert "hint: start a daemon with" in err


async def test_a_holder_says_that_no_daemon_answers_and_how_long_it_holds_still():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port, "--watch-beat-interval-s", "0.1") as first:
        async with holding(url, "try", *MODEL, "--ttl", "9", command=JOINED) as trying:
            await said(trying, NAME)
            first.send_signal(signal.SIGKILL)
            await said(trying, "no daemon answers; the claim ends 9 s after the last answer")


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["try", NAME], "--provider"),
        (["try", NAME, "--provider", "Moon"], "'Moon' is not one of 'HuggingFace'"),
        (["try", *MODEL, "--ttl", "0"], "0"),
        (["set", *MODEL], "--status"),
        (["set", *MODEL, "--status", "LATE"], "'LATE' is not one of 'DOWNLOADING'"),
        (["wait", *MODEL, "--for", "gone"], "'gone' is not one of 'DOWNLOADING'"),
        (["list", "--limit", "-1"], "-1"),
        (["counts", "-o", "name"], "counts have no names"),
    ],
)
async def test_a_wrong_argument_is_exit_code_2_and_named(words, said_of_it):
    code, out, err = await ctl("zmq://127.0.0.1:1", "claims", *words)
    assert (code, out) == (2, "")
    assert said_of_it in err
    assert "Traceback" not in err
