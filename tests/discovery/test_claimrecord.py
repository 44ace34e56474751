"""What is stored of a claim, and what it is read as."""

from __future__ import annotations

import orjson
import pytest

from discovery.claimrecord import (
    ClaimStatus,
    StoredClaim,
    check_message,
    check_model_name,
    check_provider,
    check_status,
    claim_from_wire,
    claim_to_wire,
    decode_claim,
    phase_in,
    status_of,
)
from discovery.errors import InvalidArgumentError, RecordError

AT = "2026-11-21T18:00:00.000Z"
NOW = "2026-11-21T19:00:00.000Z"
FULL = {
    "model_name": "org/m",
    "provider": "Gcs",
    "status": "DOWNLOADING",
    "created_at": AT,
    "last_used_at": AT,
    "message": "Starting download...",
    "owner": 0xA,
    "mark": "x",
}


def read(**changes: object) -> StoredClaim:
    return decode_claim("models/claims/k", orjson.dumps(FULL | changes))


def test_what_is_written_reads_back():
    assert decode_claim("k", read().encode()) == read()
    assert decode_claim("k", read(owner=None, mark=None).encode()) == read(owner=None, mark=None)


def test_users_see_an_owner_only_while_somebody_is_downloading():
    shown = read().shown(has_owner=True, revision=7, now=NOW)
    assert (shown.status, shown.owner, shown.revision) == (ClaimStatus.DOWNLOADING, 0xA, 7)
    ended = read(status="DOWNLOADED").shown(has_owner=True, revision=7, now=NOW)
    assert (ended.status, ended.owner) == (ClaimStatus.DOWNLOADED, None)


def test_downloading_without_an_owner_reads_as_an_error_that_the_owner_is_lost():
    shown = read().shown(has_owner=False, revision=7, now=NOW)
    assert (shown.status, shown.message, shown.owner) == (ClaimStatus.ERROR, "owner lost", None)


@pytest.mark.parametrize("phase", ["", None])
@pytest.mark.parametrize("has_owner", [True, False])
def test_a_half_written_record_reads_as_downloading(phase, has_owner):
    stored = read(status=phase)
    assert stored.shown(has_owner=has_owner, revision=1, now=NOW).status is ClaimStatus.DOWNLOADING


@pytest.mark.parametrize("phase", ["PAUSED", "downloading", 3])
def test_an_unknown_status_reads_as_an_error_and_keeps_its_message(phase):
    shown = read(status=phase).shown(has_owner=True, revision=1, now=NOW)
    assert (shown.status, shown.message) == (ClaimStatus.ERROR, "Starting download...")


def test_missing_stamps_read_as_now():
    shown = read(created_at=None, last_used_at=None).shown(has_owner=True, revision=1, now=NOW)
    assert (shown.created_at, shown.last_used_at) == (NOW, NOW)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"provider": "Ftp"}, "provider 'Ftp': expected one of HuggingFace, Ngc, Gcs, File"),
        ({"provider": None}, "provider None"),
        ({"created_at": "yesterday"}, "created_at: expected a time as RFC 3339"),
        ({"last_used_at": 5}, "last_used_at: expected a time"),
        ({"message": 5}, "message: expected a text or null, got 5"),
        ({"model_name": ""}, "model name ''"),
    ],
)
def test_a_malformed_record_is_an_error_that_names_it_and_the_field(changes, text):
    with pytest.raises(RecordError, match=f"claim 'models/claims/k': {text}"):
        read(**changes)


def test_what_is_no_json_is_a_malformed_record_too():
    with pytest.raises(RecordError, match="claim 'k': value b'x' is not JSON"):
        decode_claim("k", b"x")


def test_owner_and_mark_of_other_types_are_none():
    stored = read(owner="a", mark=5)
    assert (stored.owner, stored.mark) == (None, None)


@pytest.mark.parametrize(
    ("value", "phase"),
    [(b'{"status":"ERROR"}', "ERROR"), (b"{}", ""), (b'{"status":5}', "?"), (b"x", "?")],
)
def test_the_status_of_a_malformed_record_is_what_can_be_read_of_it(value, phase):
    assert phase_in(value) == phase
    assert status_of("?", has_owner=True) is ClaimStatus.ERROR


def test_a_claim_goes_over_the_wire_and_back():
    claim = read().shown(has_owner=True, revision=7, now=NOW)
    assert claim_from_wire(claim_to_wire(claim)) == claim
    unowned = read(status="ERROR").shown(has_owner=False, revision=7, now=NOW)
    assert claim_from_wire(claim_to_wire(unowned) | {"revision": None}).revision == 0
    with pytest.raises(InvalidArgumentError, match="status ''"):
        claim_from_wire(claim_to_wire(claim) | {"status": ""})


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", 5, None, "m" * 1025])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InvalidArgumentError, match=r"model name .*expected 1 to 1024 bytes"):
        check_model_name(name)


@pytest.mark.parametrize("message", [5, "\ud800", "m" * 4097])
def test_what_is_no_message_is_refused(message):
    with pytest.raises(InvalidArgumentError, match=r"message .*at most 4096 bytes, or none"):
        check_message(message)


def test_what_is_right_is_returned():
    assert check_message(None) is None
    assert check_message("ä" * 2048) == "ä" * 2048
    assert check_provider("File") == "File"
    assert check_status("ERROR") is ClaimStatus.ERROR
    with pytest.raises(InvalidArgumentError, match="expected DOWNLOADING or DOWNLOADED or ERROR"):
        check_status(5)
