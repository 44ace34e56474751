from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.proof import Proof
from tests.support.records import answer, beat


def test_an_answer_proves_the_view_as_of_when_it_was_asked_for_less_the_age_of_the_store() -> None:
    proof = Proof()
    proof.by_answer(answer(1, 5, age_s=0.25, time_s=1000.0), asked_at=10.0, now=11.0)
    assert (proof.proven_at, proof.compared_at) == (9.75, 11.0)


def test_a_beat_proves_the_view_as_of_when_it_left_however_late_it_arrives() -> None:
    proof = Proof()
    proof.by_answer(answer(1, 5, time_s=1000.0), asked_at=10.0, now=10.5)
    proof.by_beat(beat(1, 5, 0, time_s=1003.0, age_s=0.5), 19.0, compared_within_s=None)
    assert (proof.proven_at, proof.compared_at) == (12.5, 10.5)


def test_a_proof_never_goes_back() -> None:
    proof = Proof()
    proof.by_answer(answer(1, 5, time_s=0.0), asked_at=10.0, now=10.0)
    proof.by_beat(beat(1, 5, 0, time_s=-3.0), 10.5, compared_within_s=None)
    assert proof.proven_at == 10.0


def test_a_clock_that_runs_fast_is_found_out_when_a_beat_arrives_before_it_left() -> None:
    proof = Proof()
    proof.by_answer(answer(1, 5, time_s=0.0), asked_at=0.0, now=0.0)
    proof.by_beat(beat(1, 5, 0, time_s=110.0), 100.0, compared_within_s=None)
    assert proof.proven_at == 100.0
    proof.by_beat(beat(2, 5, 0, time_s=111.1), 105.0, compared_within_s=None)  # held up on its way
    assert proof.proven_at == pytest.approx(101.1)


def test_a_comparison_counts_only_by_a_beat_that_is_fresh_by_the_offset() -> None:
    proof = Proof()
    proof.by_answer(answer(1, 5, time_s=2.0), asked_at=0.0, now=2.0)  # it took 2 s to answer
    proof.by_beat(beat(1, 5, 0, time_s=3.0), 3.0, compared_within_s=1.0)
    assert proof.compared_at == 2.0
    proof.by_answer(answer(2, 5, time_s=12.0), asked_at=12.0, now=12.0)
    proof.by_beat(beat(2, 5, 0, time_s=13.0), 13.0, compared_within_s=1.0)
    assert proof.compared_at == 13.0


SECONDS = st.floats(0, 5)


@given(st.floats(-1e6, 1e6), SECONDS, SECONDS, SECONDS, st.lists(SECONDS, max_size=5))
def test_what_is_proven_is_never_later_than_the_truth(
    offset_s: float, ask_s: float, work_s: float, back_s: float, delays_s: list[float]
) -> None:
    proof = Proof()
    answered_at = 100 + ask_s + work_s
    given_back = answer(1, 5, time_s=answered_at - offset_s)
    proof.by_answer(given_back, asked_at=100.0, now=answered_at + back_s)
    for number, delay_s in enumerate(delays_s, 1):
        left_at = answered_at + number
        said = beat(number, 5, 0, time_s=left_at - offset_s)
        proof.by_beat(said, left_at + delay_s, compared_within_s=1.0)
        assert proof.proven_at <= left_at + 1e-6
