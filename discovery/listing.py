"""What `list` returns: instances at one revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discovery.instance import Instance

T_co = TypeVar("T_co", bound="Instance", covariant=True)


class Listing(Sequence[T_co]):
    """The instances of a query, in ascending order of their id's text.

    They are what was registered as of `revision` of `epoch`.
    """

    def __init__(self, instances: Iterable[T_co], *, revision: int, epoch: str) -> None:
        self._instances = tuple(sorted(instances, key=_text_of))
        self.revision = revision
        self.epoch = epoch

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self._instances[index]

    def __len__(self) -> int:
        return len(self._instances)

    def __repr__(self) -> str:
        return f"Listing({list(self._instances)!r}, revision={self.revision})"


def _text_of(instance: Instance) -> str:
    return str(instance.id)
