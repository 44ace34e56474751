from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from transports.sequence import MAX_WANTED, Finding, Gap, Sequence, Tally, Verdict

DUPLICATE, LATE, NEXT = (
    Finding(Verdict.DUPLICATE),
    Finding(Verdict.LATE),
    Finding(Verdict.NEXT),
)


def heard(*numbers):
    """What is found of events that were all published at one time."""
    sequence = Sequence()
    return sequence, [sequence.receive(number, 1000) for number in numbers]


def test_numbers_in_order_are_received():
    sequence, found = heard(0, 1, 2)
    assert found == [NEXT] * 3
    assert sequence.tally == Tally(received=3)


def test_numbers_passed_over_are_lost():
    sequence, found = heard(0, 3, 4)
    assert found == [NEXT, Finding(Verdict.AHEAD, Gap(1, 2)), NEXT]
    assert sequence.tally == Tally(received=3, lost=2)


def test_what_came_before_the_first_is_missed_and_not_lost():
    sequence, found = heard(5, 6)
    assert found == [NEXT, NEXT]
    assert sequence.tally == Tally(received=2, missed=5)


def test_a_late_event_is_lost_no_more():
    sequence, found = heard(0, 4, 2)
    assert found[2] == LATE
    assert sequence.tally == Tally(received=3, lost=2, reordered=1)


def test_a_late_event_from_before_the_first_is_missed_no_more():
    sequence, found = heard(2, 0)
    assert found[1] == LATE
    assert sequence.tally == Tally(received=2, missed=1, reordered=1)


def test_what_comes_after_the_end_was_told_is_late_and_no_restart():
    """Its end may be told another way, and overtake it."""
    for arrived in (0, 10):
        sequence, _ = heard(*range(arrived))
        sequence.finish(20)
        assert sequence.receive(arrived, 2000) == LATE
        assert sequence.receive(15, 3000) == LATE
        tally = sequence.tally
        assert (tally.received, tally.restarts) == (arrived + 2, 0)
        assert tally.received + tally.lost + tally.missed == 20


def test_who_starts_anew_after_its_end_is_told_has_restarted():
    sequence, _ = heard(*range(10))
    sequence.finish(20)
    assert sequence.receive(0, 2000).verdict is Verdict.RESTARTED


def test_a_repeated_event_is_a_duplicate_late_or_not():
    sequence, found = heard(0, 2, 2, 1, 1, 0)
    assert found[2:] == [DUPLICATE, LATE, DUPLICATE, DUPLICATE]
    assert sequence.tally == Tally(received=3, reordered=1, duplicates=3)


def test_numbers_that_start_anew_later_are_a_restart():
    sequence = Sequence()
    for number in range(4):
        sequence.receive(number, 1000)
    assert sequence.receive(0, 2000) == Finding(Verdict.RESTARTED)
    assert sequence.receive(1, 2000) == NEXT
    assert sequence.tally == Tally(received=6, restarts=1)


def test_a_restart_whose_first_event_is_lost_says_so():
    sequence = Sequence()
    for number in range(4):
        sequence.receive(number, 1000)
    assert sequence.receive(2, 1001) == Finding(Verdict.RESTARTED, Gap(0, 1))
    assert sequence.receive(0, 1001) == LATE
    assert sequence.tally == Tally(received=6, lost=1, restarts=1, reordered=1)


def test_a_late_event_is_no_restart_though_time_went_on():
    sequence = Sequence()
    for number, at in ((0, 1000), (1, 1001), (5, 1005)):
        sequence.receive(number, at)
    assert sequence.receive(3, 1003) == LATE


def test_the_end_tells_what_is_lost_of_the_last():
    sequence, _ = heard(0, 1)
    assert sequence.finish(5) == Gap(2, 4)
    assert sequence.finish(5) is None
    assert sequence.tally == Tally(received=2, lost=3)
    assert sequence.receive(3, 1000) == LATE


def test_the_end_of_one_that_was_never_heard_tells_what_was_missed():
    sequence = Sequence()
    assert sequence.finish(5) is None
    assert sequence.tally == Tally(missed=5)
    assert sequence.expected == 5


def test_an_event_that_cannot_be_read_is_lost():
    sequence, _ = heard(0, 1)
    assert sequence.spoil(2) == Gap(2, 2)
    assert sequence.spoil(5) == Gap(3, 5)
    assert sequence.spoil(1) is None
    assert sequence.tally == Tally(received=2, lost=4)


def test_an_event_that_cannot_be_read_may_be_the_first():
    sequence = Sequence()
    assert sequence.spoil(3) == Gap(3, 3)
    assert sequence.receive(4, 1000) == NEXT
    assert sequence.tally == Tally(received=1, lost=1, missed=3)


def test_memory_is_bounded_and_what_is_forgotten_counts_as_a_duplicate():
    sequence = Sequence()
    for number in range(0, 6 * MAX_WANTED, 2):
        sequence.receive(number, 1000)
    assert len(sequence._wanted) == MAX_WANTED
    assert sequence.receive(1, 1000) == DUPLICATE
    assert sequence.receive(6 * MAX_WANTED - 3, 1000) == LATE


def test_memory_is_bounded_when_late_events_split_a_range():
    sequence = Sequence()
    sequence.receive(0, 1000)
    sequence.receive(10 * MAX_WANTED, 1000)
    for number in range(10 * MAX_WANTED - 2, 0, -2):
        sequence.receive(number, 1000)
    assert len(sequence._wanted) <= MAX_WANTED


@given(st.integers(0, 60), st.data())
def test_every_event_is_accounted_for_whatever_is_dropped_repeated_and_reordered(sent, data):
    arrivals = data.draw(st.lists(st.integers(0, max(0, sent - 1)), max_size=90 if sent else 0))
    sequence = Sequence()
    used = [
        number
        for number in arrivals
        if sequence.receive(number, 1000 + number * 0).verdict is not Verdict.DUPLICATE
    ]
    sequence.finish(sent)
    tally = sequence.tally
    assert sorted(used) == sorted(set(arrivals))
    assert tally.received == len(set(arrivals))
    assert tally.duplicates == len(arrivals) - tally.received
    assert tally.received + tally.lost + tally.missed == sent


@given(st.integers(0, 2**32))
def test_two_ways_of_different_speed_give_each_event_once(seed):
    rng = random.Random(seed)
    ways = [list(range(200)), list(range(200))]
    sequence, used = Sequence(), []
    while any(ways):
        way = rng.choice([one for one in ways if one])
        number = way.pop(0)
        if sequence.receive(number, number).verdict is not Verdict.DUPLICATE:
            used.append(number)
    assert sorted(used) == list(range(200))
    assert sequence.tally.lost == sequence.tally.restarts == 0
