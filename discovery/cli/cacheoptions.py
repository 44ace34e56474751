"""Options that say which model, in which cache, and how much."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from discovery.cli.completing import complete_catalog

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgt])(ib?|b)?|b)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Size(click.ParamType[int]):
    """A number of bytes, or one with a unit as coreutils have them: 500M, 20GiB, 20GB."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:  # noqa: ANN401 - click's
        """Return bytes."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value.strip())
        if not found:
            self.fail(f"{value!r}: expected bytes, or a number with K, M, G or T", param, ctx)
        number, prefix, rest = (text or "" for text in found.groups())
        step = 1000 if rest.lower() == "b" else 1024
        return int(Decimal(number) * step ** _POWERS[prefix.lower()])


def one_model(command: Callable[..., int]) -> Callable[..., int]:
    """Add what names a model of the catalog, and the cache that is meant."""
    version = click.option(
        "--version",
        type=click.IntRange(min=1),
        metavar="N",
        help="Which version.  [default: the highest]",
    )
    return click.argument("name", shell_complete=complete_catalog)(version(where(command)))


def where(command: Callable[..., int]) -> Callable[..., int]:
    """Add which cache is meant: one of this node, or that of the daemon's."""

    @wraps(command)
    def checked(*args: Any, root: str | None, at_daemon: bool, **rest: Any) -> int:  # noqa: ANN401
        if root and at_daemon:
            raise click.UsageError(
                "--root is a folder of this node, --at-daemon another node: expected one of them"
            )
        return command(*args, root=root, at_daemon=at_daemon, **rest)

    at_daemon = click.option(
        "--at-daemon", is_flag=True, help="On the node of the daemon that answers, not on this one."
    )
    return at_daemon(at_root(checked))


def at_root(command: Callable[..., int]) -> Callable[..., int]:
    """Add which folder is the cache; an empty one is none."""
    return click.option(
        "--root",
        metavar="DIR",
        callback=lambda _ctx, _param, root: root or None,
        help="The cache of this node.  [default: $DISCOVERY_ARTIFACTS_ROOT, else one under the "
        "temporary folder]",
    )(command)
