"""`discoveryctl register`: something is registered while the command runs."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from discovery.cli.context import Context
from discovery.cli.exits import Exit
from discovery.cli.kinds import names_in
from discovery.cli.rows import COLUMNS, row_of
from discovery.cli.staying import stay
from discovery.cli.typed import card_of, instance_id_of, place_of
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.instance import DEVICE_TYPES
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.eventtransport import EventTransport
    from discovery.spec import Spec

_CHANNEL_LEVELS: Final[Mapping[int, Sequence[str]]] = {
    2: ("namespace", "topic"),
    3: ("namespace", "component", "topic"),
    4: ("namespace", "component", "endpoint", "topic"),
}


def _holding(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that everything has that holds a lease."""
    ttl = click.option(
        "--ttl",
        "ttl_s",
        type=click.FloatRange(1, 3600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long it stays registered when this process is killed.",
    )
    instance_id = click.option(
        "--instance-id", metavar="HEX", help="Come back under this id.  [default: a new one]"
    )
    return ttl(instance_id(command))


@click.group()
def register() -> None:
    """Register something while this runs.

    The ids are printed once it is registered. Ctrl-C or SIGTERM removes it at once.
    """


@register.command()
@click.argument("place", metavar="NS/COMP/EP")
@click.option("--tcp", metavar="ADDRESS", help="Where callers reach it: host:port/key.")
@click.option("--nats", metavar="SUBJECT", help="Where callers reach it, over NATS.")
@click.option("--http", metavar="URL", help="Where callers reach it, over HTTP.")
@click.option("--device", type=click.Choice(DEVICE_TYPES), help="What it runs on.")
@click.option("--model", "card", metavar="CARD.JSON", help="A model it serves; - reads stdin.")
@_holding
@click.pass_obj
def endpoint(
    context: Context,
    place: str,
    *,
    tcp: str | None,
    nats: str | None,
    http: str | None,
    device: str | None,
    card: str | None,
    ttl_s: float,
    instance_id: str | None,
) -> int:
    """Register an endpoint; with --model, the model as one unit with it."""
    addresses = {"tcp": tcp, "nats_tcp": nats, "http": http}
    given = {name: text for name, text in addresses.items() if text is not None}
    if len(given) != 1:
        raise click.UsageError("expected one of --tcp, --nats and --http")
    names = place_of(place)
    specs: list[Spec] = [EndpointSpec(**names, transport=given, device_type=device)]
    if card is not None:
        specs.append(ModelSpec(**names, card=card_of(card)))
    return context.run(_hold(context, specs, ttl_s, instance_id))


@register.command()
@click.argument("place", metavar="NS/COMP/EP")
@click.option("--card", required=True, metavar="CARD.JSON", help="The model; - reads stdin.")
@click.option("--suffix", metavar="SLUG", help="Of a LoRA adapter.")
@_holding
@click.pass_obj
def model(
    context: Context,
    place: str,
    *,
    card: str,
    suffix: str | None,
    ttl_s: float,
    instance_id: str | None,
) -> int:
    """Register a model on an endpoint."""
    spec = ModelSpec(**place_of(place), card=card_of(card), suffix=suffix)
    return context.run(_hold(context, [spec], ttl_s, instance_id))


@register.command()
@click.argument("place", metavar="NS[/COMP[/EP]]/TOPIC")
@click.option("--zmq", metavar="ENDPOINT", help="Where subscribers connect: tcp://host:port.")
@click.option("--nats", metavar="PREFIX", help="Prefix of the subjects.")
@click.option("--xsub", multiple=True, metavar="ENDPOINT", help="Of a broker, for publishers.")
@click.option("--xpub", multiple=True, metavar="ENDPOINT", help="Of a broker, for subscribers.")
@_holding
@click.pass_obj
def channel(
    context: Context,
    place: str,
    *,
    zmq: str | None,
    nats: str | None,
    xsub: tuple[str, ...],
    xpub: tuple[str, ...],
    ttl_s: float,
    instance_id: str | None,
) -> int:
    """Register a publisher of events."""
    names = names_in(place)
    levels = _CHANNEL_LEVELS.get(len(names))
    if levels is None:
        raise click.UsageError(f"place {place!r}: expected NS/TOPIC, with COMP or COMP/EP between")
    ways: list[EventTransport] = []
    if zmq is not None:
        ways.append(ZmqTransport(endpoint=zmq))
    if nats is not None:
        ways.append(NatsTransport(subject_prefix=nats))
    if xsub or xpub:
        ways.append(ZmqBrokerTransport(xsub_endpoints=xsub, xpub_endpoints=xpub))
    if len(ways) != 1:
        raise click.UsageError("expected one of --zmq, --nats, and --xsub with --xpub")
    given = dict(zip(levels, names, strict=True))
    spec = EventChannelSpec(
        namespace=given["namespace"],
        component=given.get("component"),
        endpoint=given.get("endpoint"),
        topic=given["topic"],
        transport=ways[0],
    )
    return context.run(_hold(context, [spec], ttl_s, instance_id))


def _named(spec: Spec, instance_id: int) -> Spec:
    """Return a channel's spec with the id of the lease: this process has one channel only."""
    if isinstance(spec, EventChannelSpec):
        return replace(spec, instance_id=instance_id)
    return spec


async def _hold(
    context: Context, specs: Sequence[Spec], ttl_s: float, instance_id: str | None
) -> int:
    """Register `specs` as one unit, print them, and keep them until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    number = None if instance_id is None else instance_id_of(instance_id)
    async with context.connect(lease_ttl_s=ttl_s, instance_id=number) as d:
        instances = await d.register_all([_named(spec, d.instance_id) for spec in specs])
        stored_as = (await d.status()).get("event_generation")
        for instance in instances:
            row = row_of(instance, "b" if stored_as == "b" else "a")
            context.output.rows(COLUMNS[instance.kind]).start([row])
        await stay(d, instances, stop)
    return Exit.OK
