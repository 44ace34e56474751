"""What a shell offers while a command is typed: kinds, and the scopes that are registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from discovery.cli.context import Context
from discovery.cli.kinds import LEVELS, TABLES, kind_of, query_of

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

_PATIENCE_S: Final = 0.5
"""Longer and whoever pressed the key thinks that nothing comes."""


def complete_kind(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a kind."""
    return _items([kind for kind in (*LEVELS, *TABLES) if kind.startswith(incomplete)])


def complete_scope(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the scope that follows a kind."""
    return _items(_scopes(ctx, str(ctx.params.get("kind")), incomplete))


def complete_scoped_kind(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete "models/prod/vllm"."""
    kind, slash, rest = incomplete.partition("/")
    if not slash:
        return _items([f"{known}/" for known in LEVELS if known.startswith(kind)])
    return _items([f"{kind}/{scope}" for scope in _scopes(ctx, kind, rest)])


def complete_id(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the id of something registered."""
    kind, slash, rest = incomplete.partition("/")
    if not slash:
        return complete_scoped_kind(ctx, param, incomplete)
    return _items(sorted(path for path in _ids(ctx, kind) if path.startswith(f"{kind}/{rest}")))


def _scopes(ctx: click.Context, word: str, incomplete: str) -> list[str]:
    """Return what may stand next: the names of the level that is being typed."""
    depth = incomplete.count("/") + 1
    paths = {"/".join(i.split("/")[1 : depth + 1]) for i in _ids(ctx, word)}
    return sorted(path for path in paths if path.startswith(incomplete))


def _ids(ctx: click.Context, word: str) -> list[str]:
    """Return the ids of what is registered, none when nobody can be asked: this is only a help."""
    import click  # noqa: PLC0415 - for its error only

    from discovery.errors import DiscoveryError  # noqa: PLC0415

    found = ctx.obj if isinstance(ctx.obj, Context) else Context()
    context = replace(found, timeout_s=_PATIENCE_S)

    async def ask() -> list[str]:
        async with context.connect() as d:
            return [str(instance.id) for instance in await d.list(query_of(kind, ""))]

    try:
        kind = kind_of(word, tuple(LEVELS))
        return context.run(ask())
    except (click.UsageError, DiscoveryError):
        return []


def _items(texts: list[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - rarely needed

    return [CompletionItem(text) for text in texts if text.isprintable()]
