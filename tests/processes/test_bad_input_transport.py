"""What is no request at all: connections, parts and subscriptions that keep no rules."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgpack
import pytest
import zmq

from discovery.gateway import http as gateway
from tests.discovery.test_gateway import served
from tests.support.bystander import UP, door
from tests.support.raw_client import (
    CORRELATION,
    cut_off,
    msgpack_frame,
    nonsense,
    raw_client,
    raw_socket,
    tcp,
    zmtp,
)
from tests.transports.cases import Inbox, eventually
from transports.opening import open_publisher, open_rpc_server, open_subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bystander import Door

STATUS = msgpack_frame(msgpack.packb({"op": "status"}))
LARGE = msgpack_frame(b"\xdd" + struct.pack(">I", 1_000_000) + b"\x01" * 1_000_000)
"""A list of a million ones: the daemon sees through it for 0.05 s."""


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door(tmp_path_factory.mktemp("door")) as found:
        yield found


def pour(stream: socket.socket, message: bytes, count: int) -> None:
    for _ in range(count):
        stream.sendall(message)


GARBAGE = {
    "an empty part": [b""],
    "a correlation alone": [CORRELATION],
    "a frame alone": [STATUS],
    "a short correlation": [b"short", STATUS],
    "a long correlation": [CORRELATION + b"7", STATUS],
    "a part too many": [CORRELATION, STATUS, b""],
    "an envelope of REQ": [b"", STATUS],
    "10,000 parts": [b"x"] * 10_000,
    "megabytes": [bytes(1 << 20)] * 4,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_has_not_two_parts_is_dropped_and_counted(at: Door, name: str) -> None:
    before = at.counter("rejected_messages_total")
    with raw_client(at.port) as client:
        client.send(*GARBAGE[name])
        client.ask("status")  # thus what came before it was seen
    assert at.counter("rejected_messages_total") == before + 1
    at.is_unmoved()


STRANGERS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "zeros": bytes(1000),
    "another mechanism": b"\xff" + bytes(8) + b"\x7f\x03\x00PLAIN" + bytes(47),
    "a part before READY": b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48) + b"\x00\x01x",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_who_does_not_speak_zmtp_is_cut_off(at: Door, name: str) -> None:
    for port in (at.port, at.events_port):
        with tcp(port) as stream:
            stream.sendall(STRANGERS[name])
            assert cut_off(stream)
        at.is_unmoved()


def test_nonsense_after_the_handshake_is_survived(at: Door) -> None:
    rng = random.Random(1)
    for _ in range(500):
        port, kind = rng.choice([(at.port, b"DEALER"), (at.events_port, b"XSUB")])
        with tcp(port, kind) as stream:
            stream.sendall(nonsense(rng))
    at.is_unmoved()


def test_what_may_be_zmtp_of_2010_is_listened_to_in_vain(at: Door) -> None:
    for port in (at.port, at.events_port):
        with tcp(port) as stream:
            stream.sendall(b"GET /status HTTP/1.1\r\nHost: registry\r\nAccept: */*\r\n\r\n" * 100)
            at.is_unmoved()


def test_a_part_beyond_every_limit_cuts_its_sender_off(at: Door) -> None:
    with tcp(at.port, b"DEALER") as stream:
        stream.sendall(zmtp(CORRELATION, more=True) + zmtp(bytes(5 << 20))[:100])
        assert cut_off(stream)
    with tcp(at.events_port, b"SUB") as stream:
        stream.sendall(zmtp(b"\x01" + bytes(4096)))
        assert cut_off(stream)
    at.is_unmoved()


def test_half_a_message_is_nothing_while_it_waits_and_when_it_is_cut(at: Door) -> None:
    rejected, asked = at.counter("rejected_messages_total"), at.counter("refusals_total")
    before_kib = at.memory_kib()
    for _ in range(4):
        with tcp(at.port, b"DEALER") as stream, tcp(at.port, b"DEALER") as other:
            stream.sendall(zmtp(CORRELATION, more=True))
            other.sendall(zmtp(CORRELATION, more=True) + zmtp(STATUS)[:7])
            pour(stream, zmtp(bytes(1 << 20), more=True), 64)
            at.is_unmoved()
        at.is_unmoved()
    assert at.memory_kib() < before_kib + (160 << 10), "what was cut off is kept"
    assert at.counter("rejected_messages_total") == rejected
    assert at.counter("refusals_total") == asked
    at.is_unmoved()


def test_hundreds_who_say_nothing_or_half_a_word_disturb_nobody(at: Door) -> None:
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(tcp(at.events_port if number % 4 == 0 else at.port))
        half = stack.enter_context(tcp(at.port))
        half.sendall(b"\xff\0\0\0")
        slow = stack.enter_context(tcp(at.port, b"DEALER"))
        slow.sendall(zmtp(CORRELATION, more=True) + zmtp(STATUS)[:-1])
        at.is_unmoved()
        slow.sendall(STATUS[-1:])
        heard = b"."
        while b"memory://" not in heard:  # the last byte made it a request, which is answered
            assert heard, "cut off"
            heard = slow.recv(1 << 16)
        at.is_unmoved()


SUBSCRIPTIONS = {
    "everything": [b"\x01"],
    "garbage": [b"\x01" + bytes(range(256))],
    "half a proof": [b"\x01\xff"],
    "a proof too long": [b"\x01" + b"\xff" * 30],
    "what it does not hold": [b"\x00b/msgpack/"],
    "theirs, not its own": [b"\x00e/msgpack/endpoints/bystander/"],
    "no subscription": [b"\x02b/msgpack/"],
    "nothing": [b""],
    "many parts": [b"x"] * 1000,
    "one amid others": [b"x", b"\x01e/msgpack/endpoints/nobody/", b"\x00b/msgpack/", b"y"],
}


def test_subscriptions_that_are_none_keep_nothing_from_others(at: Door) -> None:
    before = at.counter("rejected_messages_total")
    with raw_socket(zmq.XSUB, at.events_port) as raw:
        for parts in SUBSCRIPTIONS.values():
            raw.send_multipart(parts)
            at.is_unmoved()
        at.bystander.hears_beats(2)
        raw.send(b"\x01\xff" + b"0" * 16)
        while raw.recv_multipart()[0] != b"\xff" + b"0" * 16:
            pass  # thus what came before it was seen
    assert at.counter("rejected_messages_total") == before + 6
    at.is_unmoved()


async def test_a_prefix_amid_garbage_is_no_secret_when_somebody_else_comes_with_it():
    inbox = Inbox()
    async with open_publisher("zmq://127.0.0.1:0") as publisher:
        with raw_socket(zmq.XSUB, publisher.address.port) as raw:
            raw.send_multipart([b"x", b"\x01e/theirs/"])
            raw.send(b"garbage")
            await eventually(lambda: publisher.rejected)
            async with open_subscriber(publisher.address, inbox) as subscriber:
                await subscriber.subscribe("e/theirs/")
                assert publisher.has_subscribers("e/theirs/x/")
                publisher.publish("e/theirs/x/", b"payload")
                assert await inbox.first(1) == [("e/theirs/x/", b"payload")]


async def test_a_message_of_100_000_parts_does_not_hold_the_loop():
    turns, at_turn = 0, Inbox()
    async with open_rpc_server("zmq://127.0.0.1:0", lambda *_: at_turn(turns)) as server:
        with raw_socket(zmq.DEALER, server.address.port) as raw:
            raw.send_multipart([b""] * 100_000)
            raw.send_multipart([CORRELATION, b""])
            while not at_turn.items:
                turns += server.rejected
                await asyncio.sleep(0)
    assert turns > 100


def test_large_requests_in_a_row_let_others_in_between(at: Door) -> None:
    """All at once would be a second, or minutes, in which the daemon hears nobody."""
    count, before = 20, at.counter("refusals_total")
    with raw_client(at.port) as client, raw_client(at.port) as flooding:
        client.ask("status")
        for _ in range(count):
            flooding.send(CORRELATION, LARGE)
        client.ask("status")
        assert at.counter("refusals_total") < before + count
        for _ in range(count):
            flooding.received()
    at.is_unmoved()


def test_a_flood_of_large_requests_fills_the_memory_of_its_sender(tmp_path: Path) -> None:
    """And when that one then hangs up, its answers unread, nothing happens to the daemon."""
    with door(tmp_path) as at:
        with tcp(at.port, b"DEALER") as stream:
            before_kib = at.memory_kib()
            stream.settimeout(1.0)
            with pytest.raises(TimeoutError):
                pour(stream, zmtp(CORRELATION, more=True) + zmtp(LARGE), 400)
            assert at.memory_kib() - before_kib < 256 << 10
            at.bystander.notices_nothing()
        at.bystander.hears_beats(2)
        at.bystander.notices_nothing()


def test_more_connections_than_there_are_files_disturb_nobody_who_has_one(tmp_path: Path) -> None:
    with door(tmp_path, files=100) as at:
        with ExitStack() as stack:
            for _ in range(120):
                stack.enter_context(tcp(at.port))
            at.bystander.notices_nothing()
        at.is_unmoved()
        told = [line["message"] for line in at.logged()]
        assert [text for text in told if "stood still" not in text] == UP


HTTP_REQUESTS = {
    "no HTTP": b"\x00\xff\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a header without colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a header of 100 KB": b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000,
    "an upgrade": b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "a path of 10 KB": b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method of 10 KB": b"X" * 10_000 + b" /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
}


def test_http_that_is_none_is_refused_in_short_and_fills_no_log(at: Door) -> None:
    for request in HTTP_REQUESTS.values():
        for _ in range(10):
            with tcp(at.http) as stream:
                stream.sendall(request)
                answer = stream.recv(1 << 16)
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 405"))
            assert len(answer) < 1024
    at.is_unmoved()
    told = [line["message"] for line in at.logged()]
    assert [text for text in told if "stood still" not in text] == UP


async def test_who_connects_and_asks_nothing_takes_no_place_for_long(monkeypatch):
    """`/healthz` that is refused is a daemon that is restarted."""
    monkeypatch.setattr(gateway, "_PATIENCE_S", 0.2)
    async with served() as port:
        with ExitStack() as stack:
            for number in range(300):
                silent = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                silent.sendall(b"GET /hea" if number % 2 else b"")
            while not (await asked(port)).startswith(b"HTTP/1.1 200"):
                await asyncio.sleep(0.05)


async def asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
