"""`discoveryctl run`: any program is registered while it lives."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from discovery.cli.child import Child, Signals, start
from discovery.cli.context import Context
from discovery.cli.exits import exit_of
from discovery.cli.notes import note
from discovery.cli.readiness import Readiness, check_ready_url
from discovery.cli.registration import Registration
from discovery.cli.supervising import Supervision
from discovery.cli.typed import card_of, instance_id_of, place_of
from discovery.instance import DEVICE_TYPES
from discovery.spec import EndpointSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.spec import Spec

_say = partial(note, name="discoveryctl run")
_CANNOT_RUN, _NO_SUCH_PROGRAM = 126, 127  # as env and shells say it
_TRANSPORTS: Mapping[str, str] = {"tcp": "tcp", "http": "http", "nats": "nats_tcp"}
"""Options, and what records call them."""


@click.command(context_settings={"allow_interspersed_args": False})  # what follows is CMD's own
@click.option("--endpoint", required=True, metavar="NS/COMP/EP", help="Where it is registered.")
@click.option("--tcp", metavar="HOST:PORT/KEY", help="Its address for callers, by TCP.")
@click.option("--http", metavar="URL", help="Its address for callers, by HTTP.")
@click.option("--nats", metavar="SUBJECT", help="Its address for callers, by NATS.")
@click.option("--device", type=click.Choice(DEVICE_TYPES), help="What it runs on.")
@click.option(
    "--model",
    "card",
    metavar="CARD.JSON",
    help="Card of the model it serves, registered with it as one unit.",
)
@click.option("--ready-url", metavar="URL", help="Register when a GET of this is answered 2xx.")
@click.option(
    "--ready-timeout",
    "ready_within_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop the program if it is not ready by then.  [default: wait while it lives]",
)
@click.option(
    "--ttl",
    "ttl_s",
    type=click.FloatRange(min=1, max=3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it stays registered when this process is killed.",
)
@click.option(
    "--drain-s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Pause between unregistering and passing on SIGTERM.",
)
@click.option("--instance-id", metavar="HEX", help="Come back under this id.  [default: a new one]")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@click.pass_obj
def run(
    context: Context,
    /,
    command: Sequence[str],
    ready_url: str | None,
    ready_within_s: float | None,
    drain_s: float,
    **what: Any,  # noqa: ANN401 - click's
) -> int:
    """Run a program and keep it registered while it lives.

    The program needs no change, and its life does not depend on a daemon: while none answers,
    registering is tried on and on. Only when it is refused, as by another model on the endpoint,
    the program is stopped.

    Signals are passed on. SIGTERM and SIGINT first unregister, so that routers stop sending, and
    reach the program --drain-s later, or at once when sent again. When it ends, it is removed at
    once, and watchers see how it ended.

    The exit code is the program's, 128 + N for signal N; 127 if there is no such program, 126 if
    it may not be run, 4 if it was refused, 3 if it was not ready in time.
    """
    registration = _registration(context, **what)
    readiness = None
    if ready_url is not None:
        readiness = Readiness(url=check_ready_url(ready_url), within_s=ready_within_s)

    def supervision(child: Child) -> Supervision:
        return Supervision(child, registration, readiness=readiness, drain_s=drain_s, say=_say)

    return context.run(_run(command, supervision))


async def _run(command: Sequence[str], supervision: Callable[..., Supervision]) -> int:
    signals = Signals()
    try:
        child = await start(command, signals)
    except OSError as error:
        _say(f"cannot run {command[0]!r}: {error.strerror}")
        return _NO_SUCH_PROGRAM if isinstance(error, FileNotFoundError) else _CANNOT_RUN
    supervised = supervision(child)
    code = await supervised.until_end(signals)
    return code if supervised.refusal is None else exit_of(supervised.refusal)


def _registration(
    context: Context,
    *,
    instance_id: str | None,
    ttl_s: float,
    **what: Any,  # noqa: ANN401 - click's
) -> Registration:
    number = None if instance_id is None else instance_id_of(instance_id)
    connect = partial(context.connect, lease_ttl_s=ttl_s, instance_id=number)
    connect()  # refuses a wrong URL or id before a program is started
    return Registration(
        connect,
        _specs(**what),
        ttl_s=ttl_s,
        rng=random.SystemRandom(),
        say=_say,
    )


def _specs(
    endpoint: str, card: str | None, device: str | None, **addresses: str | None
) -> Sequence[Spec]:
    place = place_of(endpoint)
    transport = {_TRANSPORTS[name]: value for name, value in addresses.items() if value is not None}
    if len(transport) != 1:
        raise click.UsageError(
            "where do callers reach it? Expected one of --tcp, --http and --nats"
        )
    specs: list[Spec] = [EndpointSpec(**place, transport=transport, device_type=device)]
    if card is not None:
        specs.append(ModelSpec(**place, card=card_of(card)))
    return specs
