"""What makes a client say each message that docs/troubleshooting.md explains."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import discovery
from discovery import EndpointQuery, EndpointSpec, EventChannelSpec, ModelSpec, ZmqTransport
from tests.support.processes import daemon, free_ports

if TYPE_CHECKING:
    from collections.abc import Awaitable

PLACE = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}
ENDPOINT = EndpointSpec(**PLACE, transport={"tcp": "10.0.0.7:9000/generate"})
MODEL = ModelSpec(**PLACE, card={"display_name": "qwen3-0.6b"})
RIVAL = ModelSpec(**PLACE, card={"display_name": "llama-3.2-1b"})
LARGE = ModelSpec(**PLACE, card={"display_name": "qwen3-0.6b", "notes": "x" * (128 << 10)})
ELSEWHERE = ModelSpec(**(PLACE | {"endpoint": "chat"}), card={"display_name": "qwen3-0.6b"})
CHANNEL = EventChannelSpec(
    namespace="prod", topic="t", transport=ZmqTransport(endpoint="tcp://h:1")
)
NOT_THERE = discovery.parse_id("endpoints/prod/vllm/generate/1")
MANY = [
    EndpointSpec(**(PLACE | {"endpoint": f"e{n}"}), transport={"tcp": "h:1"}) for n in range(65)
]
URL = "memory://troubles"


async def of(refused: Awaitable[object]) -> str:
    """The message of the error that something ends with."""
    try:
        await refused
    except discovery.DiscoveryError as error:
        return str(error)
    raise AssertionError("nothing was refused")


async def entering(url: str, **options: object) -> None:
    async with discovery.connect(url, **options):
        pass


async def made(kind: type, **fields: object) -> None:
    kind(**fields)


async def arguments() -> list[str]:
    """Wrong before anybody is asked."""
    unentered = discovery.connect(URL)
    nobody = f"zmq://127.0.0.1:{free_ports()}"
    return [
        await of(entering(nobody, connect_timeout_s=0.2)),
        await of(entering(URL, lease_ttl_s=0.5)),
        await of(entering("kubernetes://ns")),
        await of(entering(f"etcd://127.0.0.1:{free_ports()}")),
        await of(entering("127.0.0.1:4710")),
        await of(unentered.register(ENDPOINT)),
        await of(made(ModelSpec, **PLACE, card={})),
        await of(made(EndpointQuery, component="vllm")),
        await of(made(EndpointQuery, namespace="prod/eu")),
    ]


async def refusals() -> list[str]:
    """What a registry says no to."""
    async with (
        discovery.connect(URL, instance_id=0x1A2B) as d,
        discovery.connect(URL, instance_id=0x1A2B) as double,
        discovery.connect(URL) as other,
    ):
        await d.register_all([ENDPOINT, MODEL])
        return [
            await of(double.register(ENDPOINT)),
            await of(other.register(RIVAL)),
            await of(other.unregister(NOT_THERE)),
            await of(other.remove(NOT_THERE)),
            await of(other.drain(1)),
            await of(other.register_all(MANY)),
            await of(other.register_all([MODEL, ELSEWHERE])),
            await of(other.register(LARGE)),
            await of(other.register(CHANNEL)),
        ]


async def streams() -> list[str]:
    async with discovery.connect(URL) as d:
        stream = d.watch(EndpointQuery())
        messages = [await of(stream.synced())]
        async with stream:
            pass
        return [*messages, await of(stream.changed())]


async def drained() -> list[str]:
    """One more message is logged."""
    async with discovery.connect(URL, lease_ttl_s=1) as d, discovery.connect(URL) as operator:
        await d.register(ENDPOINT)
        await operator.drain(d.instance_id)
        while not d.failures:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        return [await of(d.register(ENDPOINT))]


async def outage() -> list[str]:
    """Two more messages are logged: when the daemon goes, and when its client does."""
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with (
        daemon(port) as running,
        discovery.connect(url, request_timeout_s=0.5) as d,
        d.watch(EndpointQuery()) as stream,
    ):
        await stream.synced()  # who watches is told that the daemon stops
        await d.register(ENDPOINT)
        running.process.terminate()
        await running.ended()
        return [await of(d.register(MODEL)), await of(d.list(EndpointQuery()))]


async def limits_of_a_daemon() -> list[str]:
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with (
        daemon(port, "--lease-max-ttl-s", "5"),
        discovery.connect(url, request_timeout_s=2.5) as d,  # it waits for a revision for 2 s
    ):
        ahead = d.list(EndpointQuery(), min_revision=10**9)
        return [await of(d.register(ENDPOINT)), await of(ahead)]


ALL = [arguments, refusals, streams, drained, outage, limits_of_a_daemon]
