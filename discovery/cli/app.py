"""The commands, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

import click

from discovery.cli import looking
from discovery.cli.output import Output, Shape
from discovery.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    DiscoveryError,
    InvalidArgumentError,
    ModelConflictError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

_DEFAULT_URL = "zmq://127.0.0.1:4710"
_KINDS = ("endpoints", "models", "channels", "leases", "watchers")

_EXIT_CODES: tuple[tuple[tuple[type[DiscoveryError], ...], int], ...] = (
    ((InvalidArgumentError,), 2),
    ((UnavailableError, DeadlineExceededError), 3),
    ((ModelConflictError, PermissionDeniedError, AlreadyExistsError), 4),
    ((NotFoundError,), 5),
    ((DiscoveryError,), 1),
)


@dataclass(frozen=True, slots=True)
class _Context:
    url: str
    timeout_s: float
    output: Output


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    default=_DEFAULT_URL,
    envvar="DISCOVERY_URL",
    show_default=True,
    show_envvar=True,
    help="Where a daemon takes requests; several, separated by commas, are tried in order.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice([str(shape) for shape in Shape]),
    help="Form of the output: a table on a terminal, jsonl elsewhere, unless said.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Seconds to wait for a daemon to answer.",
)
@click.pass_context
def cli(context: click.Context, url: str, output: str | None, timeout_s: float) -> None:
    """See and change what is registered with discoveryd.

    Exit codes: 0 done, 1 error, 2 usage, 3 cannot connect or timed out, 4 refused, 5 not found.
    """
    shape = Shape(output) if output else Shape.for_stream(sys.stdout)
    context.obj = _Context(url, timeout_s, Output(shape, sys.stdout))


@cli.command()
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("scope", default="", metavar="[NS[/COMP[/EP]]]")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Then follow the changes.")
@click.pass_obj
def get(context: _Context, kind: str, scope: str, *, is_watching: bool) -> None:
    """List what is registered, or who watches."""
    if kind in looking.QUERIES:
        _run(looking.get(_discovery(context), context.output, kind, scope, follow=is_watching))
    elif scope or is_watching:
        raise click.UsageError(f"get {kind} takes neither a scope nor --watch")
    else:
        _run(looking.ask(_discovery(context), context.output, kind))


@cli.command()
@click.argument("scope", metavar="KIND[/NS[/COMP[/EP]]]")
@click.pass_obj
def watch(context: _Context, scope: str) -> None:
    """Follow what comes, changes and goes in a scope such as models/prod."""
    kind, _, rest = scope.partition("/")
    if kind not in looking.QUERIES:
        expected = "a scope that starts with endpoints, models or channels"
        raise click.UsageError(f"{scope!r}: expected {expected}")
    _run(looking.watch(_discovery(context), context.output, kind, rest))


@cli.command()
@click.pass_obj
def status(context: _Context) -> None:
    """Show how the daemon is: store, revision, counts, and records that cannot be read."""
    _run(looking.status(_discovery(context), context.output))


@cli.command()
@click.option("--client", "is_client_only", is_flag=True, help="Do not ask a daemon.")
@click.pass_obj
def version(context: _Context, *, is_client_only: bool) -> None:
    """Show the versions of this program and of the daemon."""
    own = installed_version("discoveryd")
    if is_client_only:
        context.output.one({"client": own})
    else:
        _run(looking.version(_discovery(context), context.output, own))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    try:
        cli.main(args=argv, prog_name="discoveryctl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except DiscoveryError as error:
        click.echo(f"discoveryctl: {error}", err=True)
        return next(code for kinds, code in _EXIT_CODES if isinstance(error, kinds))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read has had enough
    return 0


def _discovery(context: _Context) -> Callable[[], looking.Opened]:
    from discovery.client import connect  # noqa: PLC0415 - help must not wait for it

    return lambda: connect(
        context.url, connect_timeout_s=context.timeout_s, request_timeout_s=context.timeout_s
    )


def _run(coro: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coro)
