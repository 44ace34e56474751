"""Bugs to plant by name, each of which some world must show; and savings, which none may."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.simulation.bugs import holding, living, protocol, proving, reader, registering, spare
from tests.simulation.bugs.planting import Patch, Plant

if TYPE_CHECKING:
    from collections.abc import Iterator

BUGS: dict[str, Plant] = {
    **registering.BUGS,
    **living.BUGS,
    **protocol.BUGS,
    **proving.BUGS,
    **holding.BUGS,
    **reader.BUGS,
}
SPARE: dict[str, Plant] = spare.SPARE


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a bug, or with None no bug, for a while."""
    patch = Patch()
    if name is not None:
        {**BUGS, **SPARE}[name](patch)
    try:
        yield
    finally:
        patch.undo()
