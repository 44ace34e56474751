"""What only NATS does: servers that go and come back, ways to log in, several at one address."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import threading
from contextlib import asynccontextmanager, suppress

import nkeys
import pytest
import trustme
from nats.aio.client import Client

from discovery.background import new_event_loop
from tests.support.nats import nats_server
from tests.support.processes import free_ports
from tests.support.ways import open_way, way_to
from tests.transports.cases import LIMIT_S, Inbox, eventually, only
from transports.errors import UnreachableError
from transports.nats.connection import NatsConnection
from transports.nats.rpc import _ASK_AGAIN_S, _NOBODY_PAUSE_S
from transports.nats.url import parse_nats_address
from transports.opening import open_publisher, open_rpc_client, open_rpc_server, open_subscriber

TOPIC = "e/ns/"


def echo(payload, reply):
    reply(payload)


def answering(name):
    return lambda _, reply: reply(name)


@pytest.fixture
def own(tmp_path):
    """A server of the test's own, to be killed and stopped."""
    with nats_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def asking(url, on_reply):
    async with open_rpc_client(only(url), on_reply) as client:
        async with asyncio.timeout(LIMIT_S):
            await client.ready()
        yield client


async def is_answered(client, inbox, number):
    """Ask until there is an answer: what is asked while a connection is lost is lost as well."""

    def ask():
        try:
            client.send(number, b"")
        except UnreachableError:
            return False
        return inbox.items[-1:] and inbox.items[-1][0] == number

    await eventually(ask)


# ---- a NATS server that goes


async def test_requests_and_events_go_on_after_a_restart(own):
    replies, events = Inbox(), Inbox()
    async with (
        open_rpc_server(own.url, echo) as server,
        asking(own.url, replies) as client,
        open_publisher(f"{own.url}?prefix=p") as publisher,
        open_subscriber(publisher.address, events) as subscriber,
    ):
        await subscriber.subscribe(TOPIC)
        for number in range(3):
            await asyncio.to_thread(own.kill)
            publisher.publish(TOPIC, b"lost")
            await eventually(lambda: not publisher.has_subscribers(TOPIC))
            await eventually(lambda: server.is_cut_off)
            with pytest.raises(UnreachableError):
                await eventually(lambda: client.send(99, b""))
            await asyncio.to_thread(own.start)
            await is_answered(client, replies, number)
            assert not server.is_cut_off
            async with asyncio.timeout(LIMIT_S):
                await subscriber.subscribe("other/")  # proves the older ones too
            publisher.publish(TOPIC, b"%d" % number)
            await events.until(lambda number=number: events.items[-1:] == [(TOPIC, b"%d" % number)])


async def test_who_asked_in_vain_while_nats_went_away_asks_again_when_it_is_back(own):
    """Found by `make chaos`, seed 1: it waited for ever."""
    async with open_rpc_client(only(own.url), Inbox()) as client:
        await eventually(lambda: client._nats.is_up)  # and so it asks: nobody serves there
        await asyncio.to_thread(own.kill)
        await eventually(lambda: not client._nats.is_up)
        await asyncio.sleep(2 * _ASK_AGAIN_S)  # the last question ends, too
        await asyncio.to_thread(own.start)
        async with open_rpc_server(own.url, echo), asyncio.timeout(LIMIT_S):
            await client.ready()


async def test_who_cannot_ask_since_too_much_waits_to_be_sent_lets_others_run(own):
    async with open_rpc_client(only(own.url), Inbox()) as client:
        await client._nats.up()
        most, client._nats._most_waiting = client._nats._most_waiting, 0
        await asyncio.sleep(2 * _NOBODY_PAUSE_S)
        client._nats._most_waiting = most
        async with open_rpc_server(own.url, echo), asyncio.timeout(LIMIT_S):
            await client.ready()


async def test_one_that_is_stopped_is_noticed_and_another_of_the_cluster_asked(own, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    replies = Inbox()
    with nats_server(folder) as other:
        url = f"nats://{own.endpoint},{other.endpoint}"
        async with asking_on(url) as (client, replies):
            await is_answered(client, replies, 1)
            own.pause()
            async with open_rpc_server(other.url, echo):
                async with asyncio.timeout(3 * LIMIT_S):
                    while not replies.items or replies.items[-1][0] != 2:
                        with suppress(UnreachableError):
                            client.send(2, b"")
                        await asyncio.sleep(0.02)
            own.resume()


@asynccontextmanager
async def asking_on(url):
    replies = Inbox()
    first = url.partition(",")[0]
    async with open_rpc_server(first, echo), asking(url, replies) as client:
        yield client, replies


def test_an_end_that_nats_py_does_not_carry_through_is_noticed(own):
    """Found by `make chaos`, seed 6: on uvloop it fails to write to what is closed."""

    async def main() -> None:
        async with NatsConnection(parse_nats_address(only(own.url))) as connection:
            await connection.up_within(LIMIT_S)
            client = connection._client
            client._flusher_task.cancel()
            client._pending, client._pending_data_size = [b"PING\r\n"], 6
            client._transport._io_writer.transport.abort()
            client._transport._io_reader.set_exception(ConnectionResetError())
            await eventually(lambda: connection._client not in {client, None})

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


async def test_a_silent_server_is_left_also_if_much_waits_to_be_sent_to_it(own):
    async with NatsConnection(parse_nats_address(only(own.url))) as connection:
        await connection.up_within(LIMIT_S)
        own.pause()
        for _ in range(40):  # more than the sockets take
            connection.send("x", bytes(1 << 18))
        await eventually(lambda: not connection.is_up)


async def test_a_server_whose_answer_is_behind_much_else_is_not_taken_for_silent(own):
    slow, port, got = open_way(), free_ports(), []
    await slow.lead(port, own.port)
    address = only(f"nats://127.0.0.1:{port}")
    async with NatsConnection(parse_nats_address(address)) as connection:
        connection.subscribe("big", got.append)
        await connection.up_within(LIMIT_S)
        client = connection._client
        async with NatsConnection(parse_nats_address(only(own.url))) as other:
            await other.up_within(LIMIT_S)
            slow.slow(0.3)
            for _ in range(2):
                other.send("big", bytes(1 << 19))
            await eventually(lambda: len(got) == 2)
        assert connection._client is client
    await slow.aclose()


async def test_a_subscription_is_waited_for_until_the_server_has_it(own):
    got: list[bytes] = []
    port = int(own.endpoint.rpartition(":")[2])
    async with way_to(port) as way:
        url = parse_nats_address(only(f"nats://127.0.0.1:{way.port}"))
        there = parse_nats_address(only(own.url))
        async with NatsConnection(url) as hearing, NatsConnection(there) as sending:
            await asyncio.gather(hearing.up(), sending.up())
            for number, fault in enumerate((way.fall_silent, way.cut, way.hold_answers)):
                fault()
                hearing.subscribe(f"s{number}", lambda message: got.append(message.payload))
                settling = asyncio.create_task(hearing.settled())
                await asyncio.wait([settling], timeout=0.3)
                assert not settling.done()
                way.mend()
                async with asyncio.timeout(LIMIT_S):
                    await settling
                sending.send(f"s{number}", b"%d" % number)
                await eventually(lambda number=number: got == [b"0", b"1", b"2"][: number + 1])
            way.cut()
            settling = asyncio.create_task(hearing.settled())
            await asyncio.wait([settling], timeout=0.1)
        with pytest.raises(UnreachableError, match="the connection is closed"):
            await settling


async def test_who_gives_up_waiting_until_all_is_sent_makes_nobody_deaf(own, caplog):
    async with NatsConnection(parse_nats_address(only(own.url))) as connection:
        await connection.up_within(LIMIT_S)
        heard = asyncio.Event()
        connection.subscribe("a", lambda _: heard.set())
        own.pause()
        await connection.flushed(0.1)
        own.resume()
        async with asyncio.timeout(LIMIT_S):
            await connection.flushed(LIMIT_S)
            connection.send("a", b"")
            await heard.wait()
    assert caplog.records == []


@asynccontextmanager
async def listing_server():
    """Serve NATS, as far as a connection needs it; yield the URL, and the commands as they come."""
    commands = []

    async def serve(reader, writer):
        info = {"server_id": "x", "version": "2.9.0", "headers": True, "max_payload": 1 << 20}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            command = line.split()[0].decode()
            commands.append(command)
            if command == "PING":
                writer.write(b"PONG\r\n")
            if command == "PUB":
                await reader.readline()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", commands


async def test_what_was_sent_is_there_before_the_server_is_asked_whether_it_is():
    """nats-py's own ping overtakes what waits to be written, and its flush proves nothing."""
    async with listing_server() as (url, commands):
        connection = NatsConnection(parse_nats_address(only(url)))
        connection.subscribe("a", print)
        async with connection:
            await connection.up_within(LIMIT_S)
            assert commands == ["CONNECT", "PING", "SUB", "PING"]
            del commands[:]
            connection.send("a", b"")
            connection.subscribe("b", print)
            await connection.flushed(LIMIT_S)
            assert [c for c in commands if c != "PING"] == ["SUB", "PUB"]
            assert commands[-1] == "PING"


async def test_a_server_that_is_not_there_is_named(own):
    own.kill()
    for listener in (open_rpc_server(own.url, echo), open_publisher(own.url)):
        with pytest.raises(UnreachableError, match=f"cannot listen on {own.url}: .*{own.endpoint}"):
            await listener.__aenter__()


async def test_who_is_cut_off_for_being_slow_comes_back(tmp_path):
    """nats-py would end for good."""
    config = tmp_path / "nats.conf"
    config.write_text('max_pending: 1100000\nwrite_deadline: "100ms"\n')
    events = Inbox()

    async def flood(endpoint, subject):
        stranger = Client()
        await stranger.connect(f"nats://{endpoint}")
        for _ in range(400):  # far more than the server and both of its sockets keep
            await stranger.publish(subject, bytes(100_000), reply="1")
        await stranger.flush()
        await stranger.close()

    with nats_server(tmp_path, "--config", str(config)) as server:
        async with (
            open_publisher(server.own_url()) as publisher,
            open_subscriber(publisher.address, events) as subscriber,
        ):
            await subscriber.subscribe(TOPIC)
            prefix = publisher.address.query.removeprefix("prefix=")
            flooding = flood(server.endpoint, f"{prefix}.t.e.ns.%")
            thread = threading.Thread(target=asyncio.run, args=(flooding,))
            thread.start()
            thread.join()  # meanwhile this loop reads nothing
            async with asyncio.timeout(LIMIT_S):
                await subscriber.subscribe("other/")
                while events.items[-1:] != [(TOPIC, b"end")]:
                    publisher.publish(TOPIC, b"end")
                    await asyncio.sleep(0.01)
        assert "Slow Consumer" in (tmp_path / "nats.log").read_text()


async def test_an_error_of_ours_in_taking_a_message_makes_nobody_deaf(nats, caplog):
    replies, url = Inbox(), nats.own_url()

    def answer(payload, reply):
        if payload == b"bad":
            raise ZeroDivisionError
        reply(payload)

    async with open_rpc_server(url, answer), asking(url, replies) as client:
        client.send(1, b"bad")
        client.send(2, b"good")
        assert await replies.first(1) == [(2, b"good")]
    assert "message not taken" in caplog.text


# ---- several of us at one address


async def test_a_client_stays_with_one_server_and_goes_to_another_when_that_is_gone(nats):
    url = nats.own_url()
    answers = {b"one", b"two"}
    seen = set()
    async with open_rpc_server(url, answering(b"one")) as one:
        async with open_rpc_server(url, answering(b"two")):
            while seen != answers:  # by chance, one or the other
                replies = Inbox()
                async with asking(url, replies) as client:
                    for number in range(20):
                        client.send(number, b"")
                    got = {payload for _, payload in await replies.first(20)}
                    assert len(got) == 1
                    seen |= got
            replies = Inbox()
            async with asking(url, replies) as client:
                client.send(0, b"")
                ((_, first),) = await replies.first(1)
        async with asking(url, replies) as client:
            await is_answered(client, replies, 1)
            assert replies.items[-1] == (1, b"one")
            await one.__aexit__(None, None, None)
            async with open_rpc_server(url, answering(b"three")):
                await is_answered(client, replies, 2)
                assert replies.items[-1] == (2, b"three")
    assert first in answers


async def test_what_is_no_request_of_ours_is_counted(nats):
    replies, url = Inbox(), nats.own_url()
    prefix = url.partition("prefix=")[2]
    async with open_rpc_server(url, echo) as server, open_publisher(f"{url}.p") as publisher:
        stranger = Client()
        await stranger.connect(f"nats://{nats.endpoint}")
        own = (await stranger.request(f"{prefix}.rpc", b"", timeout=LIMIT_S)).data.decode()
        await stranger.publish(f"{prefix}.rpc", b"no reply subject")
        await stranger.publish(own, b"no reply subject")
        await stranger.publish(own, b"no correlation", reply="inbox.x")
        await stranger.publish(own, b"nor this", reply="inbox.zzzzzzzzzzzzzzzz")
        await stranger.publish(f"{prefix}.p.proof", b"")
        await stranger.close()
        await eventually(lambda: (server.rejected, publisher.rejected) == (4, 1))
        async with asking(url, replies) as client:
            client.send(1, b"mine")
            assert await replies.first(1) == [(1, b"mine")]


# ---- being let in


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("transports.nats.rpc._ENTER_S", 0.5)


def user_nkey():
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(seed).public_key.decode()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", ["password", "token", "nkey", "creds"])
async def test_each_way_to_log_in(tmp_path, way):
    secret = tmp_path / "secret"
    config = tmp_path / "nats.conf"
    match way:
        case "password":
            secret.write_text("pass word\n")
            text = 'authorization { users: [{user: us, password: "pass word"}] }'
            good, bad = f"user=us&password_file={secret}", f"user=them&password_file={secret}"
        case "token":
            secret.write_text("s3cret\n")
            text, good, bad = "authorization { token: s3cret }", f"token_file={secret}", "tls=0"
        case "nkey":
            seed, public = user_nkey()
            secret.write_text(seed + "\n")
            other = tmp_path / "other"
            other.write_text(user_nkey()[0])
            text = f"authorization {{ users: [{{nkey: {public}}}] }}"
            good, bad = f"nkey_file={secret}", f"nkey_file={other}"
        case _:
            text, creds = operator_and_creds()
            secret.write_text(creds)
            good, bad = f"creds_file={secret}", "tls=0"
    config.write_text(text)
    with nats_server(tmp_path, "--config", str(config)) as server:
        replies = Inbox()
        async with (
            open_rpc_server(f"{server.url}?{good}", echo),
            asking(f"{server.url}?{good}", replies) as client,
        ):
            client.send(1, b"in")
            assert await replies.first(1) == [(1, b"in")]
        wrong = {
            bad: "Authorization",
            f"token_file={tmp_path}/missing": "No such file",
            f"nkey_file={config}": "InvalidSeed",
            f"creds_file={config}": "cannot listen on",
        }
        for query, why in wrong.items():
            with pytest.raises(UnreachableError, match=why) as refused:
                await open_rpc_server(f"{server.url}?{query}", echo).__aenter__()
            assert "pass word" not in str(refused.value)


def operator_and_creds():
    """Return a server's configuration and a user's credentials, as `nsc` would make them."""
    pairs = {
        kind: nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))
        for kind, prefix in (
            ("operator", nkeys.PREFIX_BYTE_OPERATOR),
            ("account", nkeys.PREFIX_BYTE_ACCOUNT),
            ("user", nkeys.PREFIX_BYTE_USER),
        )
    }
    no_limits = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1)

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    def jwt(kind, issuer, **claims):
        body = {
            "iat": 1,
            "iss": pairs[issuer].public_key.decode(),
            "sub": pairs[kind].public_key.decode(),
            "name": kind,
            "nats": {"type": kind, "version": 2, **claims},
        }
        digest = hashlib.new("sha512_256", json.dumps(body).encode()).digest()
        body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
        head = part(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        text = f"{head}.{part(json.dumps(body).encode())}"
        return f"{text}.{part(pairs[issuer].sign(text.encode()))}"

    account = pairs["account"].public_key.decode()
    limits = {**no_limits, "wildcards": True}
    config = (
        f"operator: {jwt('operator', 'operator')}\n"
        "resolver: MEMORY\n"
        f"resolver_preload: {{ {account}: {jwt('account', 'operator', limits=limits)} }}\n"
    )
    user = jwt("user", "account", subs=-1, data=-1, payload=-1)
    creds = (
        f"-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{pairs['user'].seed.decode()}\n"
        "------END USER NKEY SEED------\n"
    )
    return config, creds


@pytest.mark.usefixtures("impatient")
async def test_tls_is_checked_both_ways(tmp_path):
    authority, stranger = trustme.CA(), trustme.CA()
    issued = {"server": authority.issue_cert("127.0.0.1"), "us": authority.issue_cert("us")}
    for name, certificate in issued.items():
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    flags = ("--tls", "--tlsverify", "--tlscacert", str(tmp_path / "ca.pem"))
    pair = ("--tlscert", str(tmp_path / "server.pem"), "--tlskey", str(tmp_path / "server.key"))
    ours = f"cert={tmp_path}/us.pem&key={tmp_path}/us.key"
    with nats_server(tmp_path, *flags, *pair) as server:
        replies = Inbox()
        url = f"{server.url}?ca={tmp_path}/ca.pem&{ours}"
        async with open_rpc_server(url, echo), asking(url, replies) as client:
            client.send(1, b"in")
            assert await replies.first(1) == [(1, b"in")]
        for query in (f"ca={tmp_path}/stranger.pem&{ours}", "tls=1"):
            with pytest.raises(UnreachableError, match="certificate verify failed"):
                await open_rpc_server(f"{server.url}?{query}", echo).__aenter__()


@pytest.mark.usefixtures("impatient")
async def test_no_secret_is_told_to_a_server_without_tls(own, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    with pytest.raises(UnreachableError, match="does not encrypt"):
        await open_rpc_server(f"{own.url}?tls=1&token_file={tmp_path}/token", echo).__aenter__()
