"""What etcd refuses, in this system's own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    LeaseExpiredError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from discovery.store import CompactedError
from discovery.stores.etcd.refusals import (
    DeniedError,
    ExhaustedError,
    FutureRevisionError,
    LeaseExistsError,
    LeaseNotFoundError,
    RevisionCompactedError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.errors import DiscoveryError
    from discovery.stores.etcd.refusals import EtcdError

_KINDS: Mapping[type[EtcdError], type[DiscoveryError]] = {
    UnreachableError: UnavailableError,
    LeaseNotFoundError: LeaseExpiredError,
    LeaseExistsError: AlreadyExistsError,
    RevisionCompactedError: CompactedError,
    FutureRevisionError: CompactedError,
    DeniedError: PermissionDeniedError,
    ExhaustedError: ResourceExhaustedError,
}


def error_of(error: EtcdError, what: str) -> DiscoveryError:
    """Return the error to raise; `what` was being done."""
    kind = _KINDS.get(type(error), InvalidArgumentError)
    said = "no answer from etcd" if kind is UnavailableError else "etcd says"
    return kind(f"{what}: {said}: {error}")
