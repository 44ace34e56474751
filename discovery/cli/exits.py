"""How commands end: exit codes, and what is said of errors."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from discovery.cli.notes import note
from discovery.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    DiscoveryError,
    FailedPreconditionError,
    InvalidArgumentError,
    ModelConflictError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit(IntEnum):
    """Exit codes; stable."""

    OK = 0
    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_FOUND = 5
    DEGRADED = 6
    INTERRUPTED = 130


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.OK: "done",
    Exit.ERROR: "error",
    Exit.USAGE: "wrong usage",
    Exit.UNREACHABLE: "cannot connect, or timed out",
    Exit.REFUSED: "refused",
    Exit.NOT_FOUND: "not found",
    Exit.DEGRADED: "degraded",
    Exit.INTERRUPTED: "interrupted",
}
"""What each code means, as help and documentation say it."""

_CODES: Final[tuple[tuple[type[DiscoveryError], Exit], ...]] = (
    (InvalidArgumentError, Exit.USAGE),
    (UnavailableError, Exit.UNREACHABLE),
    (DeadlineExceededError, Exit.UNREACHABLE),
    (FailedPreconditionError, Exit.REFUSED),
    (AlreadyExistsError, Exit.REFUSED),
    (PermissionDeniedError, Exit.REFUSED),
    (UnauthenticatedError, Exit.REFUSED),
    (NotFoundError, Exit.NOT_FOUND),
    (DiscoveryError, Exit.ERROR),
)
"""First match counts."""


def exit_of(error: DiscoveryError) -> Exit:
    """Return the code of a command that ends with `error`."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def hint_of(error: DiscoveryError) -> str | None:
    """Return what to do about `error`, for those that people meet; None for the rest."""
    match error:
        case ModelConflictError():
            return (
                f"see who serves {error.incumbent!r}: discoveryctl get models {error.endpoint}; "
                "serve the same model, or register at another endpoint"
            )
        case AlreadyExistsError():
            return "see who holds what: discoveryctl get leases; or let a new id be made"
        case UnavailableError():
            return (
                "start a daemon with `discoveryd`, or say with --url or DISCOVERY_URL where it is; "
                "`discoveryctl doctor` looks closer"
            )
        case NotFoundError():
            return "see what is registered: discoveryctl -o name get endpoints|models|channels"
        case _:
            return None


def complain(error: DiscoveryError, hint: str | None = None) -> Exit:
    """Say on stderr what went wrong and what to do about it; return the exit code.

    A `hint` of None is the one that errors of this kind have.
    """
    note(str(error))
    hint = hint or hint_of(error)
    if hint:
        note(hint, name="hint")
    return exit_of(error)
