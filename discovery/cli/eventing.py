"""Commands that publish events and follow them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from discovery.cli.context import Context
from discovery.cli.exits import Exit
from discovery.cli.kinds import names_in
from discovery.cli.notes import note
from discovery.eventplane.items import EventItem, Joined, Lost, Message, Restarted
from discovery.eventtransport import NatsTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_LEVELS: Final[Mapping[int, tuple[str, ...]]] = {
    2: ("namespace", "topic"),
    3: ("namespace", "component", "topic"),
    4: ("namespace", "component", "endpoint", "topic"),
}
_PLACE: Final = "NS[/COMP[/EP]]/TOPIC"
_NATS: Final = "NATS servers of events.  [default: $DISCOVERY_EVENT_NATS, or those of --url]"
_COLUMNS: Final = ("event", "publisher", "sequence", "payload")


@click.group()
def events() -> None:
    """Publish events, or follow them."""


@events.command()
@click.argument("place", metavar=_PLACE)
@click.argument("payloads", metavar="TEXT…", nargs=-1, required=True)
@click.option("--transport", help="zmq, zmq-broker or nats.  [default: zmq]")
@click.option("--advertise", metavar="HOST", help="Host or interface that subscribers connect to.")
@click.option("--nats", metavar="URL", help=_NATS)
@click.option(
    "--subscribers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="How many subscriptions to wait for, as long as for an answer of the daemon; not by NATS.",
)
@click.pass_obj
def publish(
    context: Context,
    place: str,
    *,
    payloads: tuple[str, ...],
    transport: str | None,
    advertise: str | None,
    nats: str | None,
    subscribers: int,
) -> int:
    """Publish an event for each TEXT; for "-", one for each line of stdin.

    It is published for those who are subscribed by then, and kept for nobody.
    """
    how = {**_names_of(place), "transport": transport, "advertise": advertise, "nats": nats}
    return context.run(_publish(context, payloads, subscribers, how))


@events.command()
@click.argument("place", metavar=_PLACE)
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@click.option("--nats", metavar="URL", help=_NATS)
@click.pass_obj
def tail(context: Context, place: str, *, count: int | None, nats: str | None) -> None:
    """Follow the events of all publishers of a topic, and what is lost of them.

    Begins with what is published from now on. Ends with Ctrl-C.
    """
    context.run(_tail(context, {**_names_of(place), "nats": nats}, count))


def _names_of(place: str) -> dict[str, str]:
    names = names_in(place)
    levels = _LEVELS.get(len(names))
    if levels is None:
        raise click.UsageError(f"place {place!r}: expected NS/TOPIC, with COMP or COMP/EP between")
    return dict(zip(levels, names, strict=True))


async def _publish(
    context: Context, payloads: tuple[str, ...], subscribers: int, how: Mapping[str, Any]
) -> int:
    from discovery.eventplane.publisher import EventPublisher  # noqa: PLC0415 - help is quicker

    async with context.connect() as d, EventPublisher(d, **how) as publisher:
        is_told = not isinstance(publisher.channel.transport, NatsTransport)
        try:
            async with asyncio.timeout(context.timeout_s):
                if is_told:
                    await publisher.subscribed(subscribers)
        except TimeoutError:
            found = publisher.subscribers
            note(f"not published: {found} of {subscribers} subscribers within the timeout")
            return Exit.UNREACHABLE
        async for payload in _each(payloads):
            await publisher.publish(payload)
        fields = {"id": str(publisher.channel.id), "sent": publisher.sent}
        context.output.one(fields | {"subscribers": publisher.subscribers if is_told else None})
    return Exit.OK


async def _each(payloads: tuple[str, ...]) -> AsyncIterator[bytes]:
    """Yield the payloads that were typed; for "-", the lines of stdin."""
    for payload in payloads:
        if payload != "-":
            yield payload.encode(errors="surrogateescape")
            continue
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            yield line.removesuffix(b"\n")


async def _tail(context: Context, names: Mapping[str, Any], count: int | None) -> None:
    from discovery.eventplane.subscriber import EventSubscriber  # noqa: PLC0415 - help is quicker

    rows = context.output.rows(_COLUMNS)
    async with context.connect() as d, EventSubscriber(d, **names) as subscriber:
        rows.start()
        async for item in subscriber:
            rows.row(_shown(item))
            count = count - 1 if count and isinstance(item, Message) else count
            if count == 0:
                return


def _shown(item: EventItem) -> dict[str, Any]:
    """Return an item as a row; a payload that is no text is shown in hexadecimal."""
    row: dict[str, Any] = {"id": f"{item.publisher_id:x}", "publisher": f"{item.publisher_id:x}"}
    match item:
        case Message():
            try:
                text = item.payload.decode()
            except UnicodeDecodeError:
                text = None
            row |= {"event": "message", "sequence": item.sequence, "topic": item.topic}
            row |= {"published_at_ms": item.published_at_ms, "payload_hex": item.payload.hex()}
            return row | {"payload": text}
        case Joined():
            return row | {"event": "joined"}
        case Lost():
            told = f"{item.first}-{item.last}"
            return row | {
                "event": "lost",
                "first": item.first,
                "last": item.last,
                "sequence": told,
            }
        case Restarted():
            return row | {"event": "restarted"}
        case _:
            return row | {"event": "ended", "sent": item.sent}
