"""The seam of what has files afar: which it has, and their bytes. Each wraps one library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that a server has.

    Attributes:
        path: below the source.
        where: what the server calls it.
        size: how many bytes it has, None if the server does not say.
        tag: tells it from other versions of it; empty if nothing does, or if there are none.
        sha256: of its bytes, None if the server does not say.
    """

    path: str
    where: str
    size: int | None
    tag: str = ""
    sha256: str | None = None


class Server(Protocol):
    """What has files. Raises what its library raises, and is used by several threads."""

    @property
    def revision(self) -> str:
        """Of all that was found; empty if there is none."""

    def find(self, takes: Callable[[str], bool]) -> Iterable[Found]:
        """Yield the files whose paths `takes` is True for; whatever that raises goes through."""

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on; empty pieces while it waits."""

    def close(self) -> None:
        """Close all connections."""


class ChangedError(Exception):
    """A file is not any more the one that was found."""
