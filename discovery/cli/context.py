"""What every command is given: where the daemon is, how long to wait for it, how to print."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from discovery.cli.output import Output, Shape

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from discovery.client import Discovery

T = TypeVar("T")

DEFAULT_URL: Final = "zmq://127.0.0.1:4710"
DEFAULT_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Context:
    """The options that all commands share; `timeout_s` is for each answer of a daemon.

    A `tenant` of None is nobody: what is everybody's is seen.
    """

    url: str = DEFAULT_URL
    timeout_s: float = DEFAULT_TIMEOUT_S
    tenant: str | None = None
    output: Output = field(default_factory=lambda: Output.suiting(sys.stdout))

    def connect(self, **overrides: Any) -> Discovery:  # noqa: ANN401 - those of discovery.connect
        """Return a way into the registry, to be entered; `overrides` are arguments of `connect`."""
        from discovery.client import connect  # noqa: PLC0415 - help must not wait for it

        limits = {"connect_timeout_s": self.timeout_s, "request_timeout_s": self.timeout_s}
        return connect(self.url, **({**limits, "tenant": self.tenant} | overrides))

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; what is logged meanwhile goes to stderr, one line each."""
        import asyncio  # noqa: PLC0415 - help must not wait for it

        from discovery.cli.logged import log_to_stderr  # noqa: PLC0415

        log_to_stderr()
        return asyncio.run(coro)


def shared_options() -> list[click.Option]:
    """Return the options that stand before or after the command; what stands after it counts."""
    return [
        click.Option(
            ["--url"],
            expose_value=False,
            callback=_set,
            help="Where a daemon takes requests; several, separated by commas, are tried in order.",
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice([str(shape) for shape in Shape]),
            expose_value=False,
            callback=_set,
            help="Form of the output.",
        ),
        click.Option(
            ["--timeout", "timeout_s"],
            type=click.FloatRange(min=0.1),
            metavar="SECONDS",
            expose_value=False,
            callback=_set,
            help="How long to wait for a daemon to answer.",
        ),
        click.Option(
            ["--tenant"],
            metavar="NAME",
            expose_value=False,
            callback=_set,
            help="Whose models of the catalog, besides those of everybody.",
        ),
    ]


def first_options() -> list[click.Option]:
    """Return the options of `discoveryctl` itself: the shared ones, told in full, and its own."""
    url, output, timeout, tenant = shared_options()
    url.envvar = "DISCOVERY_URL"
    url.show_envvar = True
    url.help = f"{url.help}  [default: {DEFAULT_URL}]"
    output.help = "Form of the output: table on a terminal, jsonl elsewhere, unless said."
    timeout.help = f"{timeout.help}  [default: {DEFAULT_TIMEOUT_S:g}]"
    tenant.envvar = "DISCOVERY_TENANT"
    tenant.show_envvar = True
    no_color = _NoColor(
        ["--no-color"],
        envvar="NO_COLOR",
        show_envvar=True,
        is_flag=True,
        expose_value=False,
        callback=_set,
        help="No colours on a terminal.",
    )
    return [url, output, timeout, tenant, no_color]


class _NoColor(click.Option):
    """A flag that the environment sets with any text but the empty one (no-color.org)."""

    def value_from_envvar(self, ctx: click.Context) -> str | None:
        return "yes" if click.Parameter.resolve_envvar_value(self, ctx) else None


def _set(ctx: click.Context, option: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
    """Put an option's value into the context that the command is given."""
    context = ctx.obj if isinstance(ctx.obj, Context) else Context()
    match option.name:
        case "tenant" if value is not None:  # an empty one is a tenant's name that is none
            context = replace(context, tenant=value)
        case _ if not value:
            pass
        case "url":
            context = replace(context, url=value)
        case "timeout_s":
            context = replace(context, timeout_s=value)
        case "output":
            context = replace(context, output=replace(context.output, shape=Shape(value)))
        case _:
            context = replace(context, output=replace(context.output, is_coloured=False))
    ctx.obj = context
