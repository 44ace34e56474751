from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from discovery.budget import Budget


def test_a_seconds_worth_is_there_from_the_start():
    budget = Budget(100.0)
    assert budget.take(60.0, 0.0) == 0.0
    assert budget.take(60.0, 0.0) == 0.0  # overdrawn, once
    assert budget.take(1.0, 0.0) == 0.2


def test_one_request_may_be_larger_than_the_budget_and_the_next_waits():
    budget = Budget(100.0)
    assert budget.take(500.0, 0.0) == 0.0
    assert budget.take(1.0, 1.0) == 3.0
    assert budget.take(1.0, 4.5) == 0.0


def test_when_all_is_spent_exactly_there_is_still_something_to_wait():
    budget = Budget(100.0)
    assert budget.take(100.0, 0.0) == 0.0
    assert budget.take(1.0, 0.0) == 0.01


def test_at_most_a_second_is_saved_up():
    budget = Budget(100.0)
    budget.take(1.0, 0.0)
    budget.take(100.0, 1000.0)
    assert budget.take(1.0, 1000.0) > 0.0


def test_a_clock_that_stands_or_goes_back_gives_nothing():
    budget = Budget(100.0)
    budget.take(150.0, 10.0)
    assert budget.take(1.0, 5.0) == 0.5


@given(st.lists(st.tuples(st.floats(1, 300), st.floats(0, 3)), min_size=1, max_size=50))
def test_over_any_time_no_more_is_taken_than_the_budget_and_one_request(requests):
    budget, now, taken = Budget(100.0), 0.0, 0.0
    for units, pause in requests:
        now += pause
        wait = budget.take(units, now)
        if wait:
            now += wait
            assert budget.take(units, now + 1e-6) == 0.0
        taken += units
    assert taken <= 100.0 * (now + 1.0) + 300.0 + 1.0
