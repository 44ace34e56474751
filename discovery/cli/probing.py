"""Why a daemon cannot be reached, one step after the other: name, port, ZeroMQ, discoveryd."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from discovery.arguments import client_name
from discovery.cli.findings import Finding, fail, ok
from discovery.errors import DiscoveryError, InvalidArgumentError
from discovery.link import Link, events_address
from transports.codec import JSON, MSGPACK
from transports.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transports.address import Address

# The signature that both sides send first: 0xFF, 8 bytes, 0x7F (RFC 37/ZMTP 3.1, "greeting").
_SIGNATURE_BYTES: Final = 10
_CODECS: Final = (MSGPACK, JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came of probing one address; `greeting` is None when no daemon answers there."""

    address: Address
    findings: Sequence[Finding]
    greeting: Mapping[str, object] | None = None


async def probe(address: Address, within_s: float) -> Probe:
    """Try to reach a daemon; each step may take `within_s`."""
    obstacle = await _port_obstacle(address, within_s) or await _other_server(address, within_s)
    if obstacle:
        return Probe(address=address, findings=[fail("connect", *obstacle)])
    return await _greet(address, within_s)


async def _port_obstacle(address: Address, within_s: float) -> tuple[str, str] | None:
    """Return why nothing at a port can be connected to, and what to do; None if it can."""
    host, port = address.host, address.port
    try:
        async with asyncio.timeout(within_s):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return f"{address}: the name {host} does not resolve: {error.strerror}", "correct the name"
    except TimeoutError:
        return f"{address}: the name {host} does not resolve in time", "look at this host's DNS"
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        why = f"{address}: nobody listens there, the connection is refused"
        return why, "start discoveryd there, or correct the address; see its --listen and --events"
    except TimeoutError:
        why = f"{address}: no answer within {within_s:g} s"
        return why, "see whether the host is up, and let the port through the firewall"
    except OSError as error:
        return f"{address}: {error.strerror or error}", "see whether this host has a way there"
    await _close(writer)
    return None


async def _other_server(address: Address, within_s: float) -> tuple[str, str] | None:
    """Return why what listens there is not ZeroMQ, or NATS, and what to do; None if it is."""
    first = await _first_bytes(address, within_s)
    if first is None:
        why = f"{address}: takes connections and says nothing within {within_s:g} s"
        return why, "see whether discoveryd stands still there, or another program, as of HTTP"
    if address.scheme == "nats":
        why = f"{address}: what listens there is no NATS server"
        is_nats = first.startswith(b"INFO {")
        return None if is_nats else (why, "give --url the address of nats-server, port 4222")
    if first[:1] == b"\xff" and first[-1:] == b"\x7f":
        return None
    why = f"{address}: what listens there does not speak ZeroMQ"
    return why, "give --url discoveryd's request address, port 4710 unless changed"


async def _first_bytes(address: Address, within_s: float) -> bytes | None:
    """Return as many bytes as a signature has, fewer if there are no more; None for a silence."""
    try:
        reader, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:
        return b""
    try:
        async with asyncio.timeout(within_s):
            return await reader.readexactly(_SIGNATURE_BYTES)
    except TimeoutError:
        return None
    except (OSError, asyncio.IncompleteReadError):
        return b""
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _greet(address: Address, within_s: float) -> Probe:
    """Say hello in both codecs."""
    loop, findings = asyncio.get_running_loop(), list[Finding]()
    greeting: Mapping[str, object] = {}
    took_ms = 0.0
    for codec in _CODECS:
        begun_at = loop.time()
        try:
            async with Link(address, codec, _ignore) as link:
                greeting = await link.hello(client_name(), within_s)
        except InvalidArgumentError as error:
            do = "run the same version of discoveryctl and discoveryd"
            return Probe(address=address, findings=[fail("protocol", f"{address}: {error}", do)])
        except DiscoveryError as error:
            return Probe(address=address, findings=[fail("connect", *_silence(address, error))])
        took_ms = (loop.time() - begun_at) * 1000
        findings.append(ok("codec", f"{address}: {codec.name} is understood"))
    protocol = greeting.get("protocol")
    findings[:0] = [
        ok("connect", f"{address}: answers, connecting took {took_ms:.1f} ms"),
        ok("protocol", f"{address}: protocol {protocol}"),
    ]
    return Probe(address=address, findings=findings, greeting=greeting)


def _silence(address: Address, error: DiscoveryError) -> tuple[str, str]:
    if address.scheme == "nats":
        why = f"{address}: is a NATS server, but no discoveryd answers through it: {error}"
        return why, "see whether one listens through it, under this prefix, and is let in as you"
    why = f"{address}: speaks ZeroMQ, but does not answer as discoveryd does: {error}"
    return why, "see whether it stands still, is another program, or discoveryd's events port"


def _ignore(_topic: str, _payload: bytes) -> None:
    """Hear nothing: nothing is subscribed to."""


def check_same_registry(reached: Sequence[Probe]) -> Sequence[Finding]:
    """Several addresses are for daemons of one registry, else clients see now one, now another."""
    epochs = {str((one.greeting or {}).get("epoch")) for one in reached}
    if len(epochs) == 1:
        return []
    places = ", ".join(str(one.address) for one in reached)
    do = "name daemons on one store only; each memory:// is a registry of its own"
    return [fail("registry", f"{places} are {len(epochs)} different registries", do)]


async def check_events(reached: Probe, within_s: float) -> Finding:
    """Changes come on another port than answers: it may be closed, or for its own host only."""
    events = _events_address(reached)
    if events is None:
        said = (reached.greeting or {}).get("events")
        return fail("events", f"{reached.address}: tells to listen at {said}", "correct --events")
    if events.is_loopback and not reached.address.is_loopback:
        do = "start discoveryd with --events at an address that others reach"
        return fail("events", f"{reached.address}: publishes at {events}, for its own host", do)
    obstacle = await _port_obstacle(events, within_s)
    if obstacle:
        return fail("events", *obstacle)
    return ok("events", f"{events}: can be connected to")


def _events_address(probe: Probe) -> Address | None:
    """Return where a daemon tells its clients to listen; None if that cannot be read."""
    try:
        return events_address(probe.address, (probe.greeting or {}).get("events"))
    except TransportError:
        return None
