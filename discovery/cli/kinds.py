"""Kinds and scopes as they are typed: "models", "ep", "endpoints/prod/vllm"."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.query import Query

LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    "endpoints": ("namespace", "component", "endpoint"),
    "models": ("namespace", "component", "endpoint"),
    "channels": ("namespace", "component", "topic"),
}
"""Kinds that are registered, and the names of the levels of their scopes."""

TABLES: Final = ("leases", "watchers")
"""Kinds that a daemon tells of itself."""

_SHORT: Final = {
    "ep": "endpoints",
    "eps": "endpoints",
    "mo": "models",
    "ch": "channels",
    "event-channel": "channels",
    "event-channels": "channels",
    "le": "leases",
    "wa": "watchers",
}
_KNOWN: Final[Mapping[str, str]] = {
    **{kind: kind for kind in (*LEVELS, *TABLES)},
    **{kind.removesuffix("s"): kind for kind in (*LEVELS, *TABLES)},
    **_SHORT,
}


def kind_of(word: str, kinds: Sequence[str]) -> str:
    """Return the kind that a word names in full, in the singular or for short.

    Raises:
        click.UsageError: it names none of `kinds`.
    """
    kind = _KNOWN.get(word.lower(), "")
    if kind in kinds:
        return kind
    usable = [known for known, of in _KNOWN.items() if of in kinds]
    near = get_close_matches(word.lower(), usable, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise click.UsageError(f"unknown kind {word!r}: {hint}expected {', '.join(kinds)}")


def split_scope(text: str, kinds: Sequence[str] = tuple(LEVELS)) -> tuple[str, str]:
    """Return kind and rest of "models/prod/vllm"."""
    word, _, rest = text.partition("/")
    return kind_of(word, kinds), rest


def names_in(scope: str) -> list[str]:
    """Return the names of "NS/COMP/EP"; a slash at either end means nothing."""
    return scope.strip("/").split("/") if scope.strip("/") else []


def query_of(kind: str, scope: str) -> Query:
    """Return the query of "NS/COMP/EP" or less.

    Raises:
        click.UsageError: it has more names.
        InvalidArgumentError: a name is none.
    """
    from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery  # noqa: PLC0415

    levels, names = LEVELS[kind], names_in(scope)
    if len(names) > len(levels):
        hint = ""
        if len(names) == len(levels) + 1:
            hint = f"; of one instance tells: discoveryctl describe {kind}/{'/'.join(names)}"
        raise click.UsageError(
            f"scope {scope!r}: {len(names)} names, expected {'/'.join(levels)} or less{hint}"
        )
    given = dict(zip(levels, names, strict=False))
    match kind:
        case "endpoints":
            return EndpointQuery(**given)
        case "models":
            return ModelQuery(**given)
        case _:
            return EventChannelQuery(**given)
