"""The claim of a download: what is stored of it, and how that is read. Sans-I/O.

    models/claims/{object name}        the record, owned by no lease
    models/claim-owners/{object name}  under the lease of whoever is downloading

Both are written in one commit. When the owner's lease ends, its key goes, and the record says no
more that anybody is downloading. Source: spec/models.md §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from discovery.errors import InvalidArgumentError, RecordError
from discovery.names import check_text, shown
from discovery.stamps import checked_stamp
from discovery.wire import decode_object, encode_object

if TYPE_CHECKING:
    from collections.abc import Mapping

PROVIDERS: Final = ("HuggingFace", "Ngc", "Gcs", "File")
"""In the order in which a name is looked up."""

OWNER_LOST: Final = "owner lost"
STARTING: Final = "Starting download..."
RETRYING: Final = "Retrying download..."

_MOST_NAME_BYTES: Final = 1024
_MOST_MESSAGE_BYTES: Final = 4096
_FIELDS: Final = ("model_name", "provider", "status", "created_at", "last_used_at", "message")


class ClaimStatus(StrEnum):
    """How far a download has got."""

    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """The download of one model of one provider.

    Attributes:
        model_name: the model.
        provider: where it comes from.
        status: `ERROR` too when whoever was downloading has died.
        created_at: since when there is the record; RFC 3339, UTC.
        last_used_at: when it was last changed or touched; RFC 3339, UTC.
        message: free text, or None.
        owner: instance id of whoever is downloading, None if nobody is.
        revision: that of the record's last change.
    """

    model_name: str
    provider: str
    status: ClaimStatus
    created_at: str
    last_used_at: str
    message: str | None = None
    owner: int | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredClaim:
    """A record as it lies in the store: `phase` is its status, as a text that may be anything.

    `mark` names the call that has claimed the download: whoever repeats that finds its own.
    """

    model_name: str
    provider: str
    phase: str
    created_at: str | None
    last_used_at: str | None
    message: str | None = None
    owner: int | None = None
    mark: str | None = None

    def encode(self) -> bytes:
        """Return it as JSON."""
        value: dict[str, object] = {
            "model_name": self.model_name,
            "provider": self.provider,
            "status": self.phase,
            "created_at": self.created_at,
            "last_used_at": self.last_used_at,
            "message": self.message,
        }
        if self.owner is not None:
            value |= {"owner": self.owner, "mark": self.mark}
        return encode_object(value)

    def shown(self, *, has_owner: bool, revision: int, now: str) -> ClaimRecord:
        """Return it as users see it. `has_owner`: the owner's key is there; `now`: for no stamp."""
        status = status_of(self.phase, has_owner=has_owner)
        is_lost = is_owner_lost(self.phase, has_owner=has_owner)
        return ClaimRecord(
            model_name=self.model_name,
            provider=self.provider,
            status=status,
            created_at=self.created_at or now,
            last_used_at=self.last_used_at or now,
            message=OWNER_LOST if is_lost else self.message,
            owner=self.owner if has_owner and status is ClaimStatus.DOWNLOADING else None,
            revision=revision,
        )


def is_owner_lost(phase: str, *, has_owner: bool) -> bool:
    """Say whether somebody was downloading who has died."""
    return phase == ClaimStatus.DOWNLOADING and not has_owner


def status_of(phase: str, *, has_owner: bool) -> ClaimStatus:
    """Return the status that a stored text stands for.

    A half-written record has none: whoever writes it is about to. One that nobody knows is an
    error, as is a download that nobody is doing.
    """
    if phase == "":
        return ClaimStatus.DOWNLOADING
    if phase not in tuple(ClaimStatus) or is_owner_lost(phase, has_owner=has_owner):
        return ClaimStatus.ERROR
    return ClaimStatus(phase)


def phase_in(value: bytes) -> str:
    """Return the status in a record that may be malformed, "?" when it has none to be read."""
    try:
        phase = decode_object(value).get("status")
    except InvalidArgumentError:
        return "?"
    return "" if phase is None else phase if isinstance(phase, str) else "?"


def is_about_another(value: bytes, model_name: str) -> bool:
    """Say whether a record names another model; one that names none may be of any."""
    try:
        found = decode_object(value).get("model_name")
    except InvalidArgumentError:
        return False
    return isinstance(found, str) and found not in {"", model_name}


def decode_claim(key: str, value: bytes) -> StoredClaim:
    """Return what a record says. Raises `RecordError`, which names it and what is wrong."""
    try:
        return _decoded(decode_object(value))
    except InvalidArgumentError as error:
        raise RecordError(f"claim {key!r}: {error}") from error


def _decoded(found: Mapping[str, object]) -> StoredClaim:
    stamps = {
        name: None if found.get(name) is None else checked_stamp(name, found[name])
        for name in ("created_at", "last_used_at")
    }
    model_name, provider, phase = (
        found.get("model_name"),
        found.get("provider"),
        found.get("status"),
    )
    message, owner, mark = found.get("message"), found.get("owner"), found.get("mark")
    if not isinstance(message, str | None):
        raise InvalidArgumentError(f"message: expected a text or null, got {shown(message)}")
    return StoredClaim(
        model_name=check_model_name(model_name),
        provider=check_provider(provider),
        phase="" if phase is None else phase if isinstance(phase, str) else shown(phase),
        created_at=stamps["created_at"],
        last_used_at=stamps["last_used_at"],
        message=message,
        owner=owner if type(owner) is int else None,
        mark=mark if isinstance(mark, str) else None,
    )


def claim_to_wire(claim: ClaimRecord) -> dict[str, object]:
    """Return the map that `claim_from_wire` reads."""
    value: dict[str, object] = {name: getattr(claim, name) for name in _FIELDS}
    return {**value, "owner": claim.owner, "revision": claim.revision}


def claim_from_wire(value: Mapping[str, object]) -> ClaimRecord:
    """Return the claim of a map. Raises `InvalidArgumentError` when it cannot be read."""
    stored, owner, revision = _decoded(value), value.get("owner"), value.get("revision")
    return ClaimRecord(
        model_name=stored.model_name,
        provider=stored.provider,
        status=check_status(stored.phase),
        created_at=checked_stamp("created_at", stored.created_at),
        last_used_at=checked_stamp("last_used_at", stored.last_used_at),
        message=stored.message,
        owner=owner if type(owner) is int else None,
        revision=revision if type(revision) is int else 0,
    )


def check_provider(value: object) -> str:
    """Return a provider. Raises `InvalidArgumentError` for one that is not known."""
    if not isinstance(value, str) or value not in PROVIDERS:
        raise InvalidArgumentError(
            f"provider {shown(value)}: expected one of {', '.join(PROVIDERS)}"
        )
    return value


def check_model_name(value: object) -> str:
    """Return a model's name. Raises `InvalidArgumentError` for what is none."""
    return check_text("model name", value, _MOST_NAME_BYTES)


def check_message(value: object) -> str | None:
    """Return a message, None for none. Raises `InvalidArgumentError` for what is too long."""
    if value is None:
        return None
    try:
        if isinstance(value, str) and len(value.encode()) <= _MOST_MESSAGE_BYTES:
            return value
    except UnicodeEncodeError:
        pass
    raise InvalidArgumentError(
        f"message {shown(value)}: expected a text of at most {_MOST_MESSAGE_BYTES} bytes, or none"
    )


def check_status(value: object) -> ClaimStatus:
    """Return a status. Raises `InvalidArgumentError` for what is none."""
    if not isinstance(value, str) or value not in tuple(ClaimStatus):
        raise InvalidArgumentError(f"status {shown(value)}: expected {' or '.join(ClaimStatus)}")
    return ClaimStatus(value)
