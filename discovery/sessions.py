"""Who holds which lease, and how far its requests have got, by the records under `session/`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from discovery.errors import (
    FailedPreconditionError,
    InternalError,
    LeaseExpiredError,
    StaleRequestError,
)
from discovery.keys import session_key
from discovery.session_record import EndedTokens, SessionRecord
from discovery.store import AtRevision, Put

if TYPE_CHECKING:
    from discovery.fields import Fields
    from discovery.replica import Replica
    from discovery.store import Entry

_ENDED_TOKENS = 20_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the process, the proof that it is, and the number of this attempt.

    Each attempt of a process, also of the same request, has a higher number than the one before.
    """

    instance_id: int
    token: str
    sequence: int


def caller_of(fields: Fields) -> Caller:
    """Return who asks, as each request of a process says it."""
    return Caller(
        fields.integer("instance_id", 1), fields.text("token"), fields.integer("sequence", 1)
    )


class Sessions:
    """The sessions as a replica shows them, and the tokens of those that it saw end."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._ended = EndedTokens(limit=_ENDED_TOKENS)
        replica.on_session_end = self._note_end

    def find(self, instance_id: int) -> tuple[Entry, SessionRecord] | None:
        """Return the session of a process, whoever that is, None if there is none.

        Raises `InternalError` when it cannot be read.
        """
        entry = self._replica.mirror.get(session_key(instance_id))
        return (entry, SessionRecord.decode(entry.key, entry.value)) if entry else None

    def of(self, instance_id: int, token: str) -> tuple[Entry, SessionRecord]:
        """Return the session of the owner of `token`. Raises `LeaseExpiredError` when it is not."""
        found = self.find(instance_id)
        if found is None or not found[1].is_owned_with(token):
            raise lease_ended(instance_id)
        return found

    def touch(self, caller: Caller, *, may_drain: bool = True) -> tuple[Put, AtRevision]:
        """Return the rewriting of the session that goes with each commit, and its guard.

        Raises `LeaseExpiredError`, `StaleRequestError` for a request that was overtaken, and,
        unless it `may_drain`, `FailedPreconditionError` when an operator has taken the caller out
        of service.
        """
        entry, record = self.of(caller.instance_id, caller.token)
        if caller.sequence <= record.sequence:
            raise StaleRequestError(
                f"request {caller.sequence} of process {caller.instance_id:x}: "
                f"overtaken by request {record.sequence}"
            )
        if record.is_draining and not may_drain:
            raise FailedPreconditionError(
                f"process {caller.instance_id:x}: draining, an operator has taken it out of service"
            )
        touched = replace(record, sequence=caller.sequence)
        put = Put(entry.key, touched.encode(), caller.instance_id)
        return put, AtRevision(entry.key, entry.revision)

    def refuse_ended(self, instance_id: int, token: str) -> None:
        """Raise `LeaseExpiredError` for the token of a session that was seen to end."""
        if token in self._ended:
            raise lease_ended(instance_id)

    def _note_end(self, entry: Entry) -> None:
        with suppress(InternalError):  # not one of ours
            self._ended.add(SessionRecord.decode(entry.key, entry.value))


def lease_ended(instance_id: int) -> LeaseExpiredError:
    """Return the error for whoever does not hold the lease, or not any more."""
    return LeaseExpiredError(
        f"process {instance_id:x}: its lease has ended, or is held by another incarnation"
    )
