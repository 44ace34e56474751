"""`discoveryctl completion`: what makes a shell complete commands, kinds and scopes."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from discovery.cli.notes import PROGRAM

_VARIABLE = "_DISCOVERYCTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    In ~/.bashrc: eval "$(discoveryctl completion bash)"

    In ~/.zshrc: eval "$(discoveryctl completion zsh)"

    In ~/.config/fish/config.fish: discoveryctl completion fish | source
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click knows these three
    click.echo(found(ctx.find_root().command, {}, PROGRAM, _VARIABLE).source())
