"""What a watch stream hands out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from discovery.ids import InstanceId
    from discovery.instance import Instance


_MAX_DETAIL = 200


class Cause(StrEnum):
    """Why an instance went away, as far as the store can tell; advisory."""

    UNREGISTERED = "unregistered"
    LEASE_EXPIRED = "lease_expired"
    CRASHED = "crashed"
    REVOKED = "revoked"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """An instance appeared or, when `is_update`, took the place of its former value."""

    instance: Instance
    revision: int
    is_update: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """An instance went away; `detail` is what is known of how, such as an exit status."""

    id: InstanceId
    revision: int
    cause: Cause
    detail: str | None = None


Event: TypeAlias = Added | Removed


def check_last_words(where: str, cause: str, detail: str | None) -> Cause:
    """Return the cause with which a process may go.

    Raises `InvalidArgumentError` for one that is not for it to claim, and for a detail that is long
    or would not print on one line.
    """
    if cause not in (Cause.UNREGISTERED, Cause.CRASHED):
        raise InvalidArgumentError(
            f"{where}.cause: expected {Cause.UNREGISTERED} or {Cause.CRASHED}, got {shown(cause)}"
        )
    if detail is None:
        return Cause(cause)
    if not isinstance(detail, str):
        raise InvalidArgumentError(f"{where}.detail: expected a text, got {shown(detail)}")
    if len(detail) > _MAX_DETAIL or not detail.isprintable():
        raise InvalidArgumentError(
            f"{where}.detail: expected at most {_MAX_DETAIL} printable characters, "
            f"got {len(detail)}: {shown(detail)}"
        )
    return Cause(cause)
