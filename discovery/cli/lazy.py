"""A group of commands that are imported when they are used, so that help does not wait for all."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A command that is not imported yet: "module:name", and what a list says of it."""

    place: str
    about: str


class LazyGroup(click.Group):
    """A group whose commands are named by a table.

    Args:
        entries: the commands, in the order in which they are listed.
        shared: makes the options that each command has besides its own.
    """

    def __init__(
        self,
        name: str,
        *,
        entries: Mapping[str, Entry],
        shared: Callable[[], Sequence[click.Option]] = list,
        **rest: object,
    ) -> None:
        super().__init__(name, **rest)  # type: ignore[arg-type]  # whatever click takes
        self._entries = entries
        self._shared = shared

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name, if there is one."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        if cmd_name not in self.commands:
            module, _, name = entry.place.partition(":")
            command: click.Command = getattr(import_module(module), name)
            self._add_options(command)
            self.add_command(command, cmd_name)
        return self.commands[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; say what may have been meant by another."""
        word = args[0]
        if word not in self._entries and not word.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(word, self._entries, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self._entries)}"
            raise click.UsageError(f"no such command {word!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.about) for name, entry in self._entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing any."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - rarely needed

        found = [
            CompletionItem(name, help=entry.about)
            for name, entry in self._entries.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def _add_options(self, command: click.Command) -> None:
        """Add the shared options whose names a command does not use for something of its own."""
        taken = {word for param in command.params for word in param.opts}
        command.params += [one for one in self._shared() if taken.isdisjoint(one.opts)]
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                self._add_options(inner)
