"""The seam of sources: which files there are, and their bytes from any place on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: below the source, checked.
        size_bytes: how many bytes it has.
        sha256: what the source says of them, None if it says nothing.
    """

    path: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All files of a source in the order of their paths, and the revision that they are of."""

    files: Sequence[SourceFile]
    revision: str = ""

    @property
    def total_bytes(self) -> int:
        """How many bytes all of them have."""
        return sum(file.size_bytes for file in self.files)


class Source(Protocol):
    """Where a model's files come from. All of it blocks, and may be called by several threads.

    Raises `InvalidArgumentError` for what is not there or may not be taken, `UnavailableError` for
    what another attempt may find. No error says a secret.
    """

    @property
    def url(self) -> str:
        """Where it is, without anything secret."""

    @property
    def provider(self) -> str:
        """Of whom the files are, as claims say it."""

    @property
    def is_resumable(self) -> bool:
        """Whether the half of a file is worth being kept: it comes from afar."""

    def list(self) -> Listing:
        """Return which files there are, at least one."""

    def read(self, file: SourceFile, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on, in pieces of some MiB at most, or empty."""

    def close(self) -> None:
        """Free what it has; nothing more is asked of it, unless it lists its files again."""
