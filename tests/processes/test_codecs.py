"""Clients of both codecs at one daemon, over every transport."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count

import pytest

import discovery
from discovery import EndpointSpec, EventChannelSpec, ModelSpec, NatsTransport
from tests.support.processes import PATIENCE_S, daemon, free_ports

CODECS = ("json", "msgpack", None)
QUERIES = (discovery.EndpointQuery(), discovery.ModelQuery(), discovery.EventChannelQuery())
CARD = {
    "display_name": "modèle-🙂",
    "source_path": None,
    "context_length": 2**53,
    "temperature": 0.1,
    "nested": {"empty": {}, "list": [1, -1.5, True, None, "a/b", ["\x00"]]},
}
_names = count()


@pytest.fixture(params=["memory", "zmq", "nats"])
def reached(request):
    """Return how to be reached, with the flags of a daemon; None where there is none."""
    if request.param == "memory":
        return f"memory://codecs-{next(_names)}", None, None
    port = free_ports()
    if request.param == "zmq":
        return f"zmq://127.0.0.1:{port}", port, ()
    url = request.getfixturevalue("nats").own_url()
    return url, port, ("--listen", url)


def specs(number: int) -> list:
    place = {"namespace": "ns", "component": "é.*>", "endpoint": f"e{number}"}
    return [
        EndpointSpec(**place, transport={"tcp": f"10.0.0.1:{number}/x"}, device_type="cuda"),
        ModelSpec(**place, card=CARD),
        ModelSpec(**place, card=CARD | {"lora": {"name": "a"}}, suffix="a"),
        EventChannelSpec(
            namespace="ns",
            component="é.*>",
            topic=f"t{number}",
            transport=NatsTransport(subject_prefix="x"),
        ),
    ]


async def test_clients_of_both_codecs_see_the_same_at_one_daemon(reached):
    url, port, flags = reached
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        if port is not None:
            await enter(daemon(port, *flags))
        clients = [await enter(discovery.connect(url, codec=codec)) for codec in CODECS]
        streams = [await enter(one.watch(query)) for one in clients for query in QUERIES]
        made = {}
        for number, one in enumerate(clients):
            for instance in await one.register_all(specs(number)):
                made[instance.id] = instance
        revision = max(instance.revision for instance in made.values())
        async with asyncio.timeout(PATIENCE_S):
            for stream in streams:
                await stream.reached(revision)
        for at in range(0, len(streams), len(QUERIES)):
            seen = {
                i: one for s in streams[at : at + len(QUERIES)] for i, one in s.instances.items()
            }
            assert seen == made
        for one in clients:
            listed = [i for query in QUERIES for i in await one.list(query)]
            assert {i.id: i for i in listed} == made
        gone = next(iter(made))
        await clients[0].unregister(gone)
        for stream in streams[:: len(QUERIES)]:
            async with asyncio.timeout(PATIENCE_S):
                while gone in stream.instances:
                    await stream.changed()


async def test_an_unknown_codec_is_an_error_that_names_what_is_known():
    with pytest.raises(discovery.InvalidArgumentError, match=r"codec: .*'cbor'.*json"):
        discovery.connect("nats://127.0.0.1:1", codec="cbor")
