from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import lease
from discovery.lease import LeaseTable

if TYPE_CHECKING:
    from collections.abc import Callable


class CountedHeap:
    """heapq, counting what it is asked to do."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.calls += 1
        function: Callable[..., Any] = getattr(heapq, name)
        return function


@pytest.fixture
def heap(monkeypatch: pytest.MonkeyPatch) -> CountedHeap:
    counted = CountedHeap()
    monkeypatch.setattr(lease, "heapq", counted)
    return counted


def test_a_lease_ends_at_its_deadline_and_not_before() -> None:
    table = LeaseTable()
    table.grant(1, 10.0, 100.0)
    assert table.expire(109.9) == []
    assert 1 in table
    assert table.expire(110.0) == [1]
    assert 1 not in table
    assert table.expire(200.0) == []


def test_renewing_gives_the_full_ttl_and_returns_it() -> None:
    table = LeaseTable()
    table.grant(1, 10.0, 0.0)
    assert table.renew(1, 9.0) == 10.0
    assert table.remaining_s(1, 9.0) == 10.0
    assert table.expire(18.9) == []
    assert table.expire(19.0) == [1]


def test_a_lease_at_its_deadline_is_not_renewed() -> None:
    table = LeaseTable()
    table.grant(1, 10.0, 0.0)
    assert table.renew(1, 10.0) is None


def test_what_is_unknown_is_not_renewed() -> None:
    table = LeaseTable()
    assert table.renew(1, 0.0) is None
    assert table.remaining_s(1, 0.0) is None
    assert not table.end(1)


def test_a_lease_that_is_ended_never_expires() -> None:
    table = LeaseTable()
    table.grant(1, 10.0, 0.0)
    table.grant(2, 20.0, 0.0)
    assert table.end(1)
    assert len(table) == 1
    assert table.expire(100.0) == [2]


@pytest.mark.parametrize("ttl_s", [5.0, 10.0, 20.0])
def test_a_lease_granted_again_has_the_new_deadline(ttl_s: float) -> None:
    table = LeaseTable()
    table.grant(1, 10.0, 0.0)
    table.end(1)
    table.grant(1, ttl_s, 1.0)
    assert table.expire(ttl_s + 0.9) == []
    assert table.expire(ttl_s + 1.0) == [1]


def test_leases_end_in_the_order_of_their_deadlines_however_late_the_look() -> None:
    """Found in review: the order was that of deadlines from before the renewals."""
    table = LeaseTable()
    table.grant(1, 10.0, 0.0)
    table.grant(2, 12.0, 0.0)
    table.renew(1, 9.0)
    assert table.expire(100.0) == [2, 1]


def test_renewing_all_gives_everyone_a_full_ttl_also_past_the_deadline() -> None:
    table = LeaseTable()
    table.grant(1, 10.0, 0.0)
    table.grant(2, 20.0, 0.0)
    table.renew_all(15.0)
    table.grant(3, 1.0, 15.0)
    assert table.expire(24.9) == [3]
    assert table.expire(25.0) == [1]
    assert table.expire(35.0) == [2]


def test_renewing_all_never_shortens_a_lease() -> None:
    table = LeaseTable()
    table.renew_all(0.0)
    table.grant(1, 10.0, 50.0)
    table.renew_all(40.0)
    assert table.remaining_s(1, 50.0) == 10.0


def test_without_leases_there_is_nothing_to_look_for() -> None:
    table = LeaseTable()
    assert table.next_look() is None
    table.grant(1, 10.0, 0.0)
    assert table.next_look() == 10.0
    table.end(1)
    assert table.next_look() is None


def test_a_renewal_costs_no_heap_operation(heap: CountedHeap) -> None:
    table = LeaseTable()
    for lease_id in range(100_000):
        table.grant(lease_id, 10.0, lease_id / 100_000)
    heap.calls = 0
    for lease_id in range(100_000):
        table.renew(lease_id, 9.0)
    assert heap.calls == 0
    assert table.next_look() == 10.0
    assert heap.calls == 0


def test_100_000_leases_cost_two_heap_operations_each_and_ttl(heap: CountedHeap) -> None:
    table = LeaseTable()
    for lease_id in range(100_000):
        table.grant(lease_id, 10.0, 0.0)
    heap.calls = 0
    for now in (4.0, 8.0, 12.0, 16.0, 20.0):  # everybody renews, and somebody looks
        for lease_id in range(100_000):
            table.renew(lease_id, now)
        assert table.expire(now) == []
    assert heap.calls <= 2 * 100_000 * 2  # two TTLs have passed
    heap.calls = 0
    assert table.expire(21.0) == []
    assert heap.calls == 0  # nothing came up, nothing was done


def test_leases_that_come_and_go_leave_nothing_behind() -> None:
    table = LeaseTable()
    for number in range(10_000):
        table.grant(number, 3600.0, 0.0)
        table.end(number)
    assert len(table._heap) == len(table._queued) <= 100
    for ttl_s in range(10_000, 1, -1):  # each needs an earlier look
        table.grant(1, float(ttl_s), 0.0)
        table.end(1)
    assert len(table._heap) <= 100


def test_clearing_away_keeps_what_lives() -> None:
    table = LeaseTable()
    rng = random.Random(1)
    for lease_id in range(50):
        table.grant(lease_id, rng.uniform(1.0, 9.0), 0.0)
    for lease_id in range(100, 1000):
        table.grant(lease_id, 5.0, 0.0)
        table.end(lease_id)
    assert len(table.expire(9.0)) == 50


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grant", "renew", "end", "expire", "renew_all"]),
        st.integers(1, 4),
        st.sampled_from([1.0, 2.0, 5.0]),
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    ),
    max_size=40,
)


@given(STEPS)
def test_a_table_does_what_a_dict_of_deadlines_does(
    steps: list[tuple[str, int, float, float]],
) -> None:
    table, now = LeaseTable(), 0.0
    model: dict[int, tuple[float, float]] = {}
    for step, lease_id, ttl_s, pause_s in steps:
        now += pause_s
        match step:
            case "grant":
                table.grant(lease_id, ttl_s, now)
                model[lease_id] = (ttl_s, now + ttl_s)
            case "renew":
                held = model.get(lease_id)
                alive = held is not None and held[1] > now
                assert table.renew(lease_id, now) == (held[0] if held and alive else None)
                if held and alive:
                    model[lease_id] = (held[0], now + held[0])
            case "end":
                assert table.end(lease_id) is (model.pop(lease_id, None) is not None)
            case "renew_all":
                table.renew_all(now)
                model = {i: (ttl, max(end, now + ttl)) for i, (ttl, end) in model.items()}
            case "expire":
                due = sorted((end, i) for i, (_, end) in model.items() if end <= now)
                assert table.expire(now) == [i for _, i in due]
                for _, ended in due:
                    del model[ended]
        look = table.next_look()
        ends = [end for _, end in model.values()]
        assert (look is None) is (not model)
        assert look is None or look <= min(ends)
        assert len(table) == len(model)
        for held_id, (_, end) in model.items():
            assert table.remaining_s(held_id, now) == end - now
