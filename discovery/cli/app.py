"""The commands, and what becomes of their errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from discovery.cli.context import first_options, shared_options
from discovery.cli.exits import MEANINGS, Exit, complain
from discovery.cli.lazy import Entry, LazyGroup
from discovery.cli.notes import PROGRAM, note, printable_lines
from discovery.cli.output import vanish
from discovery.errors import DiscoveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HERE: Final = "discovery.cli"

COMMANDS: Final[Mapping[str, Entry]] = {
    "get": Entry(f"{_HERE}.looking:get", "List what is registered, or who watches."),
    "describe": Entry(f"{_HERE}.describing:describe", "Tell all that is known of one id."),
    "watch": Entry(f"{_HERE}.looking:watch", "Follow what comes, changes and goes."),
    "wait": Entry(f"{_HERE}.waiting:wait", "Wait until something is there, or gone."),
    "register": Entry(f"{_HERE}.registering:register", "Register something while this runs."),
    "run": Entry(f"{_HERE}.running:run", "Register a program while it lives."),
    "events": Entry(f"{_HERE}.eventing:events", "Publish events, or follow them."),
    "catalog": Entry(f"{_HERE}.catalog:catalog", "Say which models exist, and look."),
    "claims": Entry(f"{_HERE}.claims:claims", "Say who downloads which model, and look."),
    "artifacts": Entry(f"{_HERE}.artifacts:artifacts", "Get the files of models, and look."),
    "rm": Entry(f"{_HERE}.changing:rm", "Remove records, whoever registered them."),
    "drain": Entry(f"{_HERE}.changing:drain", "Take a process out of service."),
    "status": Entry(f"{_HERE}.standing:status", "Show how the daemon is."),
    "doctor": Entry(f"{_HERE}.doctor:doctor", "Find out why something does not work."),
    "demo": Entry(f"{_HERE}.demo:demo", "Show in half a minute what discoveryd does."),
    "completion": Entry(f"{_HERE}.completion:completion", "Print a shell's completion script."),
    "version": Entry(f"{_HERE}.standing:version", "Show the versions of program and daemon."),
}
"""Every command: where it is, and its line in the list."""

_EPILOG: Final = "Exit codes: " + ", ".join(
    f"{code:d} {meaning}" for code, meaning in MEANINGS.items()
)


def _show_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - takes longer than all of help

        click.echo(f"{PROGRAM} {version('discoveryd')}")
        ctx.exit()


cli = LazyGroup(
    PROGRAM,
    entries=COMMANDS,
    shared=shared_options,
    help="See and change what is registered with discoveryd.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        *first_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version of this program and exit.",
        ),
    ],
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are told on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # whatever a terminal cannot show
    try:
        result = cli.main(args=argv, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        _complain_of_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except DiscoveryError as error:
        return complain(error)
    except OSError as error:
        vanish(sys.stdout)
        note(f"stopped: {error.strerror or error}")
        return Exit.ERROR
    return result if isinstance(result, int) else Exit.OK


def _complain_of_usage(error: click.ClickException) -> None:
    """Say what is wrong with the words typed, and where it is written what they may be."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        sys.stderr.write(printable_lines(error.format_message()) + "\n")
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    name = context.command_path if context else PROGRAM
    note(error.format_message(), name=name)
    if context:
        note(f"{name} --help", name="hint")
