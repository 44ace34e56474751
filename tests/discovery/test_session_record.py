from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InternalError
from discovery.session_record import EndedTokens, SessionRecord, hash_token

HASH = hash_token("token")


@given(st.text(), st.integers(0, 2**63), st.floats(0.1, 3600.0), st.booleans())
def test_a_record_is_read_back_as_it_was_written(
    token: str,
    sequence: int,
    ttl_s: float,
    is_draining: bool,  # noqa: FBT001 - hypothesis passes by position
) -> None:
    record = SessionRecord(hash_token(token), sequence, ttl_s, is_draining)
    assert SessionRecord.decode("session/1", record.encode()) == record


def test_only_the_owners_token_opens_a_record() -> None:
    record = SessionRecord(HASH, 0, 10.0)
    assert record.is_owned_with("token")
    assert not record.is_owned_with("tokem")
    assert not record.is_owned_with(HASH)


def test_the_token_itself_is_not_in_the_record() -> None:
    record = SessionRecord(hash_token("a secret"), 3, 10.0)
    assert b"a secret" not in record.encode()


@pytest.mark.parametrize("token", ["", "\ud800", "é", "x" * 10_000])
def test_any_text_can_be_a_token(token: str) -> None:
    """Found in review: a lone surrogate, which JSON can carry, was an internal error."""
    assert SessionRecord(hash_token(token), 0, 1.0).is_owned_with(token)


GOOD = {"token": HASH, "sequence": 3, "ttl_s": 10}


def test_more_fields_than_are_known_are_no_fault() -> None:
    value = json.dumps({**GOOD, "later": 1}).encode()
    assert SessionRecord.decode("session/1", value) == SessionRecord(HASH, 3, 10.0)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[1]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"token": 1' + b"0" * 5000 + b"}",
        *(
            json.dumps(GOOD | wrong).encode()
            for wrong in (
                {"token": None},
                {"token": "é" * 64},
                {"token": HASH.upper()},
                {"token": HASH + "0"},
                {"sequence": -1},
                {"sequence": "3"},
                {"sequence": 1.5},
                {"sequence": float("inf")},
                {"ttl_s": 0},
                {"ttl_s": float("nan")},
                {"ttl_s": float("inf")},
                {"ttl_s": 10**400},
                {"ttl_s": "10"},
            )
        ),
    ],
)
def test_what_is_no_record_is_an_internal_error_that_names_the_key(value: bytes) -> None:
    with pytest.raises(InternalError, match="'session/1'"):
        SessionRecord.decode("session/1", value)


@given(st.binary(max_size=60))
def test_no_bytes_do_more_harm_than_that(value: bytes) -> None:
    with pytest.raises(InternalError):
        SessionRecord.decode("session/1", value)


def ended(*tokens: str, limit: int = 3) -> EndedTokens:
    found = EndedTokens(limit=limit)
    for token in tokens:
        found.add(SessionRecord(hash_token(token), 0, 1.0))
    return found


def test_an_ended_token_is_remembered() -> None:
    assert "a" in ended("a")
    assert "b" not in ended("a")


def test_the_oldest_tokens_are_forgotten() -> None:
    tokens = ended("a", "b", "c", "a", "d")
    assert len(tokens) == 3
    assert [token in tokens for token in "abcd"] == [True, False, True, True]
