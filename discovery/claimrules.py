"""What a request about a claim does: which writes, on which guards, with which answer. Sans-I/O.

Decided on a picture of the store; the guards keep that true until it is written. A call that is
repeated finds its own mark in the record and gets its answer again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from discovery.bookkeys import claim_key, claim_owner_key
from discovery.claimrecord import (
    PROVIDERS,
    RETRYING,
    STARTING,
    ClaimStatus,
    StoredClaim,
    decode_claim,
    is_about_another,
    status_of,
)
from discovery.errors import RecordError
from discovery.events import Cause
from discovery.mirror import RefusedOnMirrorError
from discovery.objectname import name_only_object_name, object_name
from discovery.store import AtRevision, Delete, Put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from discovery.store import Entry, Guard, Op

    Get = Callable[[str], Entry | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """Who asks for which model, in which call, and when."""

    instance_id: int
    provider: str
    name: str
    mark: str
    now: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written, what must be as it was until then, and the answer."""

    guards: Sequence[Guard]
    ops: Sequence[Op] = ()
    answer: Mapping[str, object] = field(default_factory=dict)


class Place:
    """A record and its owner's key, as they are now; `name` is the object's."""

    def __init__(self, get: Get, name: str) -> None:
        self.name = name
        self.key, self.owner_key = claim_key(name), claim_owner_key(name)
        self.entry, self.owner = get(self.key), get(self.owner_key)

    @property
    def guards(self) -> list[Guard]:
        """What holds as long as both are as they are."""
        return [
            AtRevision(self.key, self.entry.revision if self.entry else 0),
            AtRevision(self.owner_key, self.owner.revision if self.owner else 0),
        ]

    def is_owned_by(self, instance_id: int) -> bool:
        """Say whether a process is downloading, and lives."""
        return self.owner is not None and self.owner.lease == instance_id

    def check_owner(self, instance_id: int) -> None:
        """Raise `RefusedOnMirrorError` when another process is downloading, and lives."""
        if self.owner is not None and self.owner.lease != instance_id:
            raise RefusedOnMirrorError(
                f"claim {self.name}: process {self.owner.lease or 0:x} is downloading, and lives"
            )

    def decode(self) -> StoredClaim | None:
        """Return what is stored, None if nothing is. Raises `RecordError`."""
        return decode_claim(self.key, self.entry.value) if self.entry else None

    def owned(self, claim: StoredClaim, by: Claiming) -> list[Op]:
        """Return the writes that make a process download."""
        written = replace(
            claim,
            phase=ClaimStatus.DOWNLOADING,
            last_used_at=by.now,
            owner=by.instance_id,
            mark=by.mark,
        )
        return [Put(self.key, written.encode()), Put(self.owner_key, b"{}", by.instance_id)]

    def ended(self, claim: StoredClaim) -> list[Op]:
        """Return the writes after which nobody is downloading."""
        return [Put(self.key, replace(claim, owner=None, mark=None).encode()), *self._disowned()]

    def gone(self) -> list[Op]:
        """Return the writes after which there is nothing."""
        return [Delete(self.key, Cause.UNREGISTERED), *self._disowned()]

    def _disowned(self) -> list[Op]:
        return [Delete(self.owner_key, Cause.UNREGISTERED)] if self.owner else []


# ---- what a process asks in its own name


def try_claim(get: Get, by: Claiming) -> Decision:
    """Make a claim where there is none; say the status of one that is there."""
    place = Place(get, object_name(by.provider, by.name))
    stored = place.decode()
    if stored is None:
        return _adopted(get, place, by) or _fresh(place, by)
    if _is_own(stored, by) and place.is_owned_by(by.instance_id):
        return Decision(place.guards, answer={"claimed": True})
    if _is_own(stored, by) and place.owner is None:  # the lease ended between two attempts
        return Decision(place.guards, place.owned(stored, by), {"claimed": True})
    status = status_of(stored.phase, has_owner=place.owner is not None)
    return Decision(place.guards, answer={"claimed": False, "status": status.value})


def try_reset(get: Get, by: Claiming, status: ClaimStatus = ClaimStatus.ERROR) -> Decision:
    """Make a claim of a status the caller's: one that failed, or whose owner was lost.

    Or one that is done, when what was downloaded is gone.
    """
    place = Place(get, object_name(by.provider, by.name))
    stored = place.decode()
    if stored is None:
        return Decision(place.guards, answer={"reset": False})
    if _is_own(stored, by) and place.is_owned_by(by.instance_id):
        return Decision(place.guards, answer={"reset": True})
    if status_of(stored.phase, has_owner=place.owner is not None) is not status:
        return Decision(place.guards, answer={"reset": False})
    retried = replace(stored, message=RETRYING)
    return Decision(place.guards, place.owned(retried, by), {"reset": True})


def release(get: Get, by: Claiming, *, was_new: bool) -> Decision:
    """Take back what a call has claimed whose caller does not know of it.

    A fresh claim goes, so that the next one may claim; one that was reset is an error again.
    """
    place = Place(get, object_name(by.provider, by.name))
    try:
        stored = place.decode()
    except RecordError:
        stored = None
    if stored is None or not _is_own(stored, by):
        return Decision(place.guards)
    place.check_owner(by.instance_id)
    if was_new:
        return Decision(place.guards, place.gone())
    failed = replace(stored, phase=ClaimStatus.ERROR, message="Retry given up", last_used_at=by.now)
    return Decision(place.guards, place.ended(failed))


def set_status(get: Get, by: Claiming, status: ClaimStatus, message: str | None) -> Decision:
    """Write a status; who says that it is downloading is the owner from then on.

    Raises `RefusedOnMirrorError` while another process is downloading, and lives.
    """
    place = Place(get, object_name(by.provider, by.name))
    place.check_owner(by.instance_id)
    try:
        stored = place.decode()
    except RecordError:  # is written anew
        stored = None
    claim = replace(
        stored or _new(by),
        phase=status,
        created_at=(stored and stored.created_at) or by.now,
        last_used_at=by.now,
        message=message,
    )
    if status is ClaimStatus.DOWNLOADING:
        mark = (stored and stored.mark) or by.mark
        return Decision(place.guards, place.owned(claim, replace(by, mark=mark)))
    return Decision(place.guards, place.ended(claim))


# ---- what anybody may ask


def touch(get: Get, name: str, now: str) -> Decision:
    """Say that a model was used now; nothing happens to one that is unknown."""
    place = next(places(get, name), None)
    stored = place.decode() if place else None
    if place is None or stored is None:
        absent = (Place(get, object_) for object_ in object_names(name))
        return Decision([guard for place in absent for guard in place.guards])
    later = max(now, stored.last_used_at or "")
    write = Put(place.key, replace(stored, last_used_at=later).encode())
    return Decision(place.guards, [write])


def delete(get: Get, object_: str, at: int) -> Decision:
    """Delete the record of an object if it is still at a revision."""
    place = Place(get, object_)
    if place.entry is None or place.entry.revision != at:
        return Decision(place.guards, answer={"has_changed": place.entry is not None})
    return Decision(place.guards, place.gone(), {"has_changed": False})


def places(get: Get, name: str) -> Iterator[Place]:
    """Yield where there is a record of a name, in the order in which it is looked up.

    Last comes the one that an older deployment may have written under the name alone. What is
    called so may also be the record of another model, with a provider in front of that one's name.
    """
    for object_ in object_names(name):
        place = Place(get, object_)
        if place.entry is not None and not is_about_another(place.entry.value, name):
            yield place


def object_names(name: str) -> list[str]:
    """Return the objects that the records of a name may be."""
    return [*(object_name(provider, name) for provider in PROVIDERS), name_only_object_name(name)]


# ---- inside


def _is_own(stored: StoredClaim, by: Claiming) -> bool:
    return stored.mark == by.mark and stored.phase == ClaimStatus.DOWNLOADING


def _new(by: Claiming) -> StoredClaim:
    return StoredClaim(
        model_name=by.name,
        provider=by.provider,
        phase=ClaimStatus.DOWNLOADING,
        created_at=by.now,
        last_used_at=by.now,
        message=STARTING,
    )


def _fresh(place: Place, by: Claiming) -> Decision:
    place.check_owner(by.instance_id)
    return Decision(place.guards, place.owned(_new(by), by), {"claimed": True})


def _adopted(get: Get, place: Place, by: Claiming) -> Decision | None:
    """Put the record of a name alone where it belongs, if it is of this provider and model."""
    old = Place(get, name_only_object_name(by.name))
    stored = old.decode()
    if stored is None or (stored.provider, stored.model_name) != (by.provider, by.name):
        return None
    status = status_of(stored.phase, has_owner=False)
    ops = [Put(place.key, replace(stored, owner=None, mark=None).encode()), *old.gone()]
    return Decision([*place.guards, *old.guards], ops, {"claimed": False, "status": status.value})
