"""What a shell offers while a command is typed: kinds, and the scopes that are registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from discovery.cli.context import Context
from discovery.cli.kinds import LEVELS, TABLES, kind_of, query_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import click
    from click.shell_completion import CompletionItem

    from discovery.client import Discovery

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


def complete_catalog(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model of the catalog."""

    async def names(d: Discovery) -> list[str]:
        return [record.name for record in await d.catalog.list()]

    return _items(_beginning(incomplete, _asked(ctx, names)))


def complete_claim(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model that somebody has claimed."""

    async def names(d: Discovery) -> list[str]:
        return [claim.model_name for claim in await d.claims.by_last_used()]

    return _items(_beginning(incomplete, _asked(ctx, names)))


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _scopes(ctx: click.Context, word: str, incomplete: str) -> list[str]:
    """Return what may stand next: the names of the level that is being typed."""
    depth = incomplete.count("/") + 1
    paths = {"/".join(i.split("/")[1 : depth + 1]) for i in _ids(ctx, word)}
    return sorted(path for path in paths if path.startswith(incomplete))


def _ids(ctx: click.Context, word: str) -> list[str]:
    """Return the ids of what is registered."""
    import click  # noqa: PLC0415 - for its error only

    async def ids(d: Discovery) -> list[str]:
        return [str(instance.id) for instance in await d.list(query_of(kind, ""))]

    try:
        kind = kind_of(word, tuple(LEVELS))
    except click.UsageError:
        return []
    return _asked(ctx, ids)


def _asked(ctx: click.Context, ask: Callable[[Discovery], Awaitable[list[str]]]) -> list[str]:
    """Return what a daemon answers, nothing when none can be asked: this is only a help."""
    from discovery.errors import DiscoveryError  # noqa: PLC0415 - as `connect`

    found = ctx.obj if isinstance(ctx.obj, Context) else Context()
    context = replace(found, timeout_s=_PATIENCE_S)

    async def asked() -> list[str]:
        async with context.connect() as d:
            return await ask(d)

    try:
        return context.run(asked())
    except DiscoveryError:
        return []


def _items(texts: list[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - rarely needed

    return [CompletionItem(text) for text in texts if text.isprintable()]
