"""What a watch stream hands out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from discovery.ids import InstanceId
    from discovery.instance import Instance


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
    """An instance went away."""

    id: InstanceId
    revision: int
    cause: Cause


Event: TypeAlias = Added | Removed
