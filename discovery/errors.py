"""Everything that can go wrong, as one tree, and its form on the wire.

    DiscoveryError
    ├── InvalidArgumentError            invalid_argument
    │   ├── SettingError                    a configuration value is wrong
    │   └── RecordError                     a stored key or value cannot be read
    ├── NotFoundError                   not_found
    ├── AlreadyExistsError              already_exists
    ├── FailedPreconditionError         failed_precondition
    │   ├── ModelConflictError              another model holds the endpoint
    │   ├── LeaseExpiredError               retryable: take a new lease
    │   └── StaleRequestError               retryable: the state moved on meanwhile
    ├── ResourceExhaustedError          resource_exhausted, retryable
    ├── UnauthenticatedError            unauthenticated
    ├── PermissionDeniedError           permission_denied
    ├── UnavailableError                unavailable, retryable
    ├── DeadlineExceededError           deadline_exceeded, retryable
    └── InternalError                   internal

Codes are those of gRPC, in lower case. `str(error)` is the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOO_LARGE: Final = 2**63  # a peer's number may be anything


class DiscoveryError(Exception):
    """What every error of this package is; `code` and `retryable` belong to the class."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the wire form, since some classes take more than a message."""
        return error_from_wire, (error_to_wire(self),)

    def _details(self) -> dict[str, object]:
        return {}


class InvalidArgumentError(DiscoveryError):
    """The caller's input is wrong, whatever the state of the registry."""

    code = "invalid_argument"


class SettingError(InvalidArgumentError):
    """A setting is unknown, of the wrong type or out of range."""


class RecordError(InvalidArgumentError):
    """A stored key or value cannot be read as a record of this system."""


class NotFoundError(DiscoveryError):
    """What was named is not registered."""

    code = "not_found"


class AlreadyExistsError(DiscoveryError):
    """The key is held by another owner."""

    code = "already_exists"


class FailedPreconditionError(DiscoveryError):
    """The registry is in a state in which the request cannot be done."""

    code = "failed_precondition"


class ModelConflictError(FailedPreconditionError):
    """A model was refused because an incompatible one is on the endpoint.

    Attributes:
        requested: display name of the refused model.
        endpoint: "namespace/component/endpoint".
        incumbent: display name of the model that is registered there.
        incumbent_count: how many instances serve the incumbent; 0 when unknown.
        since_ms: Unix time from which the incumbent is known to be there; None when unknown.
        rollback_failure: why the refused registration may have left a trace; None when it did not.
    """

    def __init__(
        self,
        *,
        requested: str,
        endpoint: str,
        incumbent: str,
        incumbent_count: int = 0,
        since_ms: int | None = None,
        rollback_failure: str | None = None,
    ) -> None:
        self.requested = requested
        self.endpoint = endpoint
        self.incumbent = incumbent
        self.incumbent_count = incumbent_count
        self.since_ms = since_ms
        self.rollback_failure = rollback_failure
        text = (
            f"Cannot register model '{requested}' on endpoint '{endpoint}': a different model "
            f"'{incumbent}' is already registered there{_tenure(incumbent_count, since_ms)}"
        )
        super().__init__(text if rollback_failure is None else f"{text}; {rollback_failure}")

    def with_rollback_failure(self, instance_id: int, failure: object) -> ModelConflictError:
        """Return this error, saying also that its rollback failed (DESIGN §3)."""
        return ModelConflictError(
            requested=self.requested,
            endpoint=self.endpoint,
            incumbent=self.incumbent,
            incumbent_count=self.incumbent_count,
            since_ms=self.since_ms,
            rollback_failure="failed to roll back conflicting model registration for instance "
            f"{instance_id}: {failure}",
        )

    def _details(self) -> dict[str, object]:
        return {
            "requested": self.requested,
            "endpoint": self.endpoint,
            "incumbent": self.incumbent,
            "incumbent_count": self.incumbent_count,
            "since_ms": self.since_ms,
            "rollback_failure": self.rollback_failure,
        }


class LeaseExpiredError(FailedPreconditionError):
    """The lease has ended, or its incarnation token is not the current one."""

    retryable = True


class StaleRequestError(FailedPreconditionError):
    """The request was decided on a state that is no longer current."""

    retryable = True


class ResourceExhaustedError(DiscoveryError):
    """A limit is reached.

    Attributes:
        retry_after_s: seconds to wait before trying again; None when the server named none.
    """

    code = "resource_exhausted"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)

    def _details(self) -> dict[str, object]:
        return {"retry_after_s": self.retry_after_s}


class UnauthenticatedError(DiscoveryError):
    """The caller did not prove who it is."""

    code = "unauthenticated"


class PermissionDeniedError(DiscoveryError):
    """The caller may not do this."""

    code = "permission_denied"


class UnavailableError(DiscoveryError):
    """The other side cannot be reached, or cannot answer now."""

    code = "unavailable"
    retryable = True


class DeadlineExceededError(DiscoveryError):
    """No answer came in time; the request may have been done."""

    code = "deadline_exceeded"
    retryable = True


class InternalError(DiscoveryError):
    """A fault of this software, or an error of a kind that this version does not know."""


def _tenure(count: int, since_ms: int | None) -> str:
    if count <= 0:
        return ""
    instances = "1 instance" if count == 1 else f"{count} instances"
    since = _utc_text(since_ms)
    return f" ({instances})" if since is None else f" ({instances}, since at least {since})"


def _utc_text(unix_ms: int | None) -> str | None:
    if unix_ms is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=unix_ms)
    except OverflowError:
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _wire_type(kind: type[DiscoveryError]) -> str:
    """Return the class name in snake_case without `Error`."""
    return "_".join(re.findall("[A-Z][a-z]+", kind.__name__.removesuffix("Error"))).lower()


_PLAIN: Final[tuple[type[DiscoveryError], ...]] = (
    InvalidArgumentError,
    SettingError,
    RecordError,
    NotFoundError,
    AlreadyExistsError,
    FailedPreconditionError,
    LeaseExpiredError,
    StaleRequestError,
    UnauthenticatedError,
    PermissionDeniedError,
    UnavailableError,
    DeadlineExceededError,
    InternalError,
)
_NAMED: Final = (*_PLAIN, ModelConflictError, ResourceExhaustedError)
_TYPE_OF: Final = {kind: _wire_type(kind) for kind in _NAMED}
_PLAIN_OF_TYPE: Final = {_TYPE_OF[kind]: kind for kind in _PLAIN}


def error_to_wire(error: DiscoveryError) -> dict[str, object]:
    """Return the wire form: `code`, `type`, `message` and `details`.

    A class that is not in the tree above goes under its nearest ancestor that is.
    """
    kind = next((base for base in type(error).__mro__ if base in _TYPE_OF), InternalError)
    return {
        "code": error.code,
        "type": _TYPE_OF[kind],
        "message": str(error),
        "details": error._details(),  # noqa: SLF001 - both halves of one format
    }


def error_from_wire(data: object) -> DiscoveryError:
    """Return the error that `data` describes; never raises.

    An unknown `type` falls back to the class of its `code`, an unknown code to `InternalError`.
    The text is kept in every case.
    """
    fields = data if isinstance(data, Mapping) else {}
    kind, code, message = fields.get("type"), fields.get("code"), fields.get("message")
    text = message if isinstance(message, str) else "an error whose text cannot be read"
    details = fields.get("details")
    found = details if isinstance(details, Mapping) else {}
    if kind == "model_conflict":
        return _conflict_from_wire(found) or FailedPreconditionError(text)
    if "resource_exhausted" in {str(kind), str(code)}:
        return ResourceExhaustedError(text, retry_after_s=_seconds(found.get("retry_after_s")))
    for name in (kind, code):
        if isinstance(name, str) and name in _PLAIN_OF_TYPE:
            return _PLAIN_OF_TYPE[name](text)
    return InternalError(text)


def _conflict_from_wire(details: Mapping[str, object]) -> ModelConflictError | None:
    requested, endpoint = details.get("requested"), details.get("endpoint")
    incumbent, failure = details.get("incumbent"), details.get("rollback_failure")
    if not (
        isinstance(requested, str) and isinstance(endpoint, str) and isinstance(incumbent, str)
    ):
        return None
    return ModelConflictError(
        requested=requested,
        endpoint=endpoint,
        incumbent=incumbent,
        incumbent_count=_integer(details.get("incumbent_count")) or 0,
        since_ms=_integer(details.get("since_ms")),
        rollback_failure=failure if isinstance(failure, str) else None,
    )


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < _TOO_LARGE else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _TOO_LARGE else None  # false for NaN
