"""What each request about a claim does, decided on a picture of the store."""

from __future__ import annotations

import dataclasses

import pytest

from discovery.claimrecord import ClaimStatus, StoredClaim, decode_claim
from discovery.claimrules import (
    Claiming,
    Decision,
    Place,
    delete,
    object_names,
    places,
    release,
    set_status,
    touch,
    try_claim,
    try_reset,
)
from discovery.errors import RecordError
from discovery.mirror import RefusedOnMirrorError
from discovery.objectname import name_only_object_name, object_name
from discovery.store import AtRevision, Delete, Entry, Put

T0, T1 = "2026-11-21T18:00:00.000Z", "2026-11-21T19:00:00.000Z"
A, B = 0xA, 0xB
GCS = object_name("Gcs", "m")


class Books:
    """A store of which each commit is one revision."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0

    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    def write(self, decision: Decision) -> dict[str, object]:
        for guard in decision.guards:
            assert isinstance(guard, AtRevision)
            entry = self.get(guard.key)
            assert guard.revision == (entry.revision if entry else 0)
        self.revision += 1
        for op in decision.ops:
            if isinstance(op, Put):
                at = self.revision
                self.entries[op.key] = Entry(op.key, op.value, at, at, op.lease)
            else:
                del self.entries[op.key]
        return dict(decision.answer)

    def end(self, lease: int) -> None:
        self.entries = {k: e for k, e in self.entries.items() if e.lease != lease}

    def put(self, name: str, value: bytes) -> None:
        self.write(Decision([], [Put(Place(self.get, name).key, value)]))

    @property
    def claim(self) -> StoredClaim | None:
        return Place(self.get, GCS).decode()

    @property
    def status(self) -> tuple[str, str | None]:
        place = Place(self.get, GCS)
        assert self.claim is not None
        shown = self.claim.shown(has_owner=place.owner is not None, revision=1, now=T1)
        return shown.status.value, shown.message


def by(who: int = A, mark: str = "1", provider: str = "Gcs", now: str = T0) -> Claiming:
    return Claiming(instance_id=who, provider=provider, name="m", mark=mark, now=now)


def claimed(by_: Claiming | None = None) -> Books:
    books = Books()
    assert books.write(try_claim(books.get, by_ or by())) == {"claimed": True}
    return books


# ---- try_claim


def test_a_fresh_claim_is_a_record_and_an_owner_in_one_commit():
    books = claimed()
    place = Place(books.get, GCS)
    assert place.entry is not None
    assert place.owner is not None
    assert (place.entry.lease, place.owner.lease) == (None, A)
    assert place.entry.revision == place.owner.revision
    assert books.claim == StoredClaim(
        model_name="m",
        provider="Gcs",
        phase="DOWNLOADING",
        created_at=T0,
        last_used_at=T0,
        message="Starting download...",
        owner=A,
        mark="1",
    )


@pytest.mark.parametrize("who", [A, B])
def test_a_second_claim_changes_nothing_and_says_the_status(who):
    books = claimed()
    before = dict(books.entries)
    answer = books.write(try_claim(books.get, by(who, "2")))
    assert answer == {"claimed": False, "status": "DOWNLOADING"}
    assert books.entries == before


def test_a_claim_that_is_repeated_has_been_made_already():
    books = claimed()
    before = dict(books.entries)
    assert books.write(try_claim(books.get, by())) == {"claimed": True}
    assert books.entries == before


def test_a_claim_that_is_repeated_after_its_lease_is_made_again():
    books = claimed()
    books.end(A)
    assert books.write(try_claim(books.get, by(now=T1))) == {"claimed": True}
    assert books.status == ("DOWNLOADING", "Starting download...")


def test_a_claim_that_has_ended_is_not_made_again_by_its_mark():
    books = claimed()
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADED, None))
    answer = books.write(try_claim(books.get, by()))
    assert answer == {"claimed": False, "status": "DOWNLOADED"}


def test_a_claim_whose_owner_is_lost_is_an_error_to_others():
    books = claimed()
    books.end(A)
    answer = books.write(try_claim(books.get, by(B, "2")))
    assert answer == {"claimed": False, "status": "ERROR"}


def test_the_same_name_of_another_provider_is_another_claim():
    books = claimed()
    assert books.write(try_claim(books.get, by(B, "2", "HuggingFace"))) == {"claimed": True}


def test_an_owner_without_a_record_is_not_taken_over_while_it_lives():
    books = claimed()
    del books.entries[Place(books.get, GCS).key]
    with pytest.raises(RefusedOnMirrorError, match="process a is downloading, and lives"):
        try_claim(books.get, by(B, "2"))
    assert books.write(try_claim(books.get, by(A, "2"))) == {"claimed": True}


# ---- name-only records


@pytest.mark.parametrize(
    ("phase", "status"),
    [("DOWNLOADED", "DOWNLOADED"), ("DOWNLOADING", "ERROR"), ("", "DOWNLOADING")],
)
def test_a_name_only_record_is_adopted_once_with_its_status(phase, status):
    books, old = Books(), name_only_object_name("m")
    stored = StoredClaim(
        model_name="m", provider="Gcs", phase=phase, created_at=T0, last_used_at=T0, message="x"
    )
    books.put(old, stored.encode())
    assert books.write(try_claim(books.get, by())) == {"claimed": False, "status": status}
    assert books.claim == stored
    assert Place(books.get, old).entry is None


def test_a_name_only_record_of_another_provider_is_left_alone():
    books, old = Books(), name_only_object_name("m")
    books.put(old, dataclasses.replace(claimed().claim, provider="Ngc").encode())
    assert books.write(try_claim(books.get, by())) == {"claimed": True}
    assert Place(books.get, old).entry is not None


# ---- try_reset


def test_a_reset_takes_over_an_error_and_stamps_it():
    books = claimed()
    books.write(set_status(books.get, by(), ClaimStatus.ERROR, "disk full"))
    assert books.write(try_reset(books.get, by(B, "2", now=T1))) == {"reset": True}
    claim = books.claim
    assert (claim.created_at, claim.last_used_at, claim.owner) == (T0, T1, B)
    assert books.status == ("DOWNLOADING", "Retrying download...")


def test_a_reset_takes_over_what_has_lost_its_owner():
    books = claimed()
    books.end(A)
    assert books.status == ("ERROR", "owner lost")
    assert books.write(try_reset(books.get, by(B, "2"))) == {"reset": True}
    assert Place(books.get, GCS).is_owned_by(B)


def test_a_reset_of_what_is_no_error_changes_nothing():
    assert try_reset(Books().get, by()).answer == {"reset": False}
    books = claimed()
    before = dict(books.entries)
    assert books.write(try_reset(books.get, by(B, "2"))) == {"reset": False}
    assert books.entries == before


def test_what_is_done_is_reset_when_what_was_downloaded_is_gone():
    books = claimed()
    assert books.write(try_reset(books.get, by(B, "2"), ClaimStatus.DOWNLOADED)) == {"reset": False}
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADED, None))
    assert books.write(try_reset(books.get, by(B, "2"))) == {"reset": False}
    assert books.write(try_reset(books.get, by(B, "2"), ClaimStatus.DOWNLOADED)) == {"reset": True}
    assert Place(books.get, GCS).is_owned_by(B)


def test_a_reset_that_is_repeated_has_been_done_already():
    books = claimed()
    books.end(A)
    books.write(try_reset(books.get, by(B, "2")))
    assert books.write(try_reset(books.get, by(B, "2"))) == {"reset": True}
    assert books.write(try_reset(books.get, by(A, "3"))) == {"reset": False}


# ---- release


def test_a_fresh_claim_that_nobody_knows_of_goes():
    books = claimed()
    books.write(release(books.get, by(), was_new=True))
    assert books.entries == {}


def test_a_reset_that_nobody_knows_of_is_an_error_again():
    books = claimed()
    books.end(A)
    books.write(try_reset(books.get, by(B, "2")))
    books.write(release(books.get, by(B, "2"), was_new=False))
    assert books.status == ("ERROR", "Retry given up")
    assert Place(books.get, GCS).owner is None


def test_what_another_call_has_claimed_is_not_released():
    books = claimed()
    before = dict(books.entries)
    books.write(release(books.get, by(mark="2"), was_new=True))
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADING, "half"))
    assert books.entries.keys() == before.keys()
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADED, None))
    books.write(release(books.get, by(), was_new=True))
    assert books.status == ("DOWNLOADED", None)


def test_there_may_be_nothing_to_release():
    books = Books()
    assert release(books.get, by(), was_new=True).ops == ()
    books.put(GCS, b"{}")
    assert release(books.get, by(), was_new=True).ops == ()


# ---- set_status


def test_a_status_of_what_is_not_there_makes_the_record():
    books = Books()
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADED, "by hand"))
    claim = books.claim
    assert (claim.phase, claim.message, claim.created_at) == ("DOWNLOADED", "by hand", T0)
    assert (claim.owner, Place(books.get, GCS).owner) == (None, None)


def test_a_status_keeps_the_creation_and_stamps_the_use():
    books = claimed()
    books.write(set_status(books.get, by(now=T1), ClaimStatus.DOWNLOADED, None))
    claim = books.claim
    assert (claim.created_at, claim.last_used_at, claim.message) == (T0, T1, None)
    assert (claim.owner, claim.mark, Place(books.get, GCS).owner) == (None, None, None)


def test_a_status_stamps_the_creation_of_a_record_that_has_none():
    books = Books()
    books.put(GCS, b'{"model_name":"m","provider":"Gcs","status":"ERROR"}')
    books.write(set_status(books.get, by(now=T1), ClaimStatus.ERROR, None))
    assert books.claim.created_at == T1


def test_a_status_mends_a_malformed_record():
    books = Books()
    books.put(GCS, b"x")
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADED, None))
    assert books.status == ("DOWNLOADED", None)


def test_nobody_else_writes_a_status_while_the_owner_lives():
    books = claimed()
    with pytest.raises(RefusedOnMirrorError, match="process a is downloading, and lives"):
        set_status(books.get, by(B, "2"), ClaimStatus.ERROR, None)
    books.end(A)
    books.write(set_status(books.get, by(B, "2"), ClaimStatus.ERROR, "gave up"))
    assert books.status == ("ERROR", "gave up")


def test_who_says_that_it_is_downloading_is_the_owner():
    books = Books()
    books.write(set_status(books.get, by(), ClaimStatus.DOWNLOADING, "1 of 9"))
    assert Place(books.get, GCS).is_owned_by(A)
    books.write(set_status(books.get, by(mark="2"), ClaimStatus.DOWNLOADING, "2 of 9"))
    assert books.status == ("DOWNLOADING", "2 of 9")
    assert books.claim.mark == "1"


# ---- by name


def test_a_touch_stamps_the_use_and_nothing_else():
    books = claimed()
    before = books.claim
    books.write(touch(books.get, "m", T1))
    assert books.claim == dataclasses.replace(before, last_used_at=T1)
    books.write(touch(books.get, "m", T0))  # a late copy
    assert books.claim.last_used_at == T1


def test_a_touch_of_what_is_unknown_does_nothing_and_proves_that_it_is_unknown():
    decision = touch(Books().get, "m", T0)
    assert decision.ops == ()
    keys = {Place(Books().get, name).key for name in object_names("m")}
    assert keys < {guard.key for guard in decision.guards}
    assert all(guard.revision == 0 for guard in decision.guards)


def test_a_touch_of_a_malformed_record_says_what_is_wrong():
    books = Books()
    books.put(GCS, b"x")
    with pytest.raises(RecordError, match="claim 'models/claims/mx-cache-gcs--m-"):
        touch(books.get, "m", T0)


def test_a_record_is_deleted_with_its_owner_unless_it_has_changed():
    books = claimed()
    at = Place(books.get, GCS).entry.revision
    books.write(touch(books.get, "m", T1))
    assert books.write(delete(books.get, GCS, at)) == {"has_changed": True}
    at = Place(books.get, GCS).entry.revision
    assert books.write(delete(books.get, GCS, at)) == {"has_changed": False}
    assert books.entries == {}
    assert books.write(delete(books.get, GCS, at)) == {"has_changed": False}


def test_a_name_is_looked_up_by_provider_and_at_last_alone():
    books = Books()
    for provider in ("File", "Gcs", "Ngc", "HuggingFace"):
        books.write(try_claim(books.get, by(provider=provider)))
    books.put(name_only_object_name("m"), books.entries[Place(books.get, GCS).key].value)
    found = [place.name for place in places(books.get, "m")]
    assert found == object_names("m")
    first = [decode_claim("", place.entry.value).provider for place in places(books.get, "m")]
    assert first == ["HuggingFace", "Ngc", "Gcs", "File", "Gcs"]


def test_a_place_whose_owner_is_gone_deletes_only_its_record():
    books = claimed()
    books.end(A)
    assert Place(books.get, GCS).gone() == [Delete(Place(books.get, GCS).key, "unregistered")]
