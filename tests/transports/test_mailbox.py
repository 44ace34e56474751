from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transports.mailbox import MAX_RANGES, Dropped, Mailbox
from transports.sequence import Gap


def mailbox(max_items=100, max_bytes=10_000):
    return Mailbox(max_items=max_items, max_bytes=max_bytes)


def put(box, number, whose=1, size=1):
    return box.put(f"{whose}:{number}", whose, Gap(number, number), size)


def test_items_come_out_in_the_order_they_went_in():
    box = mailbox()
    for number in range(5):
        assert put(box, number) == ()
    assert box.take(3) == ([], ["1:0", "1:1", "1:2"])
    assert box.take(3) == ([], ["1:3", "1:4"])
    assert box.take(3) == ([], [])


def test_too_many_items_drop_the_oldest_and_say_which():
    box = mailbox(max_items=3)
    losers = [whose for number in range(5) for whose in put(box, number)]
    assert losers == [1, 1]
    assert box.dropped == 2
    assert len(box) == 4
    assert box.take(9) == ([Dropped(1, Gap(0, 1))], ["1:2", "1:3", "1:4"])
    assert box.take(9) == ([], [])


def test_too_many_bytes_drop_the_oldest():
    box = mailbox(max_bytes=10)
    put(box, 0, size=4)
    put(box, 1, size=4)
    assert put(box, 2, size=9) == [1, 1]
    assert box.take(9) == ([Dropped(1, Gap(0, 1))], ["1:2"])


def test_an_item_that_is_too_large_alone_is_let_in_alone():
    box = mailbox(max_bytes=10)
    put(box, 0)
    assert put(box, 1, size=99) == [1]
    assert put(box, 2) == [1]
    assert box.take(9) == ([Dropped(1, Gap(0, 1))], ["1:2"])


def test_what_is_dropped_is_told_per_publisher():
    box = mailbox(max_items=1)
    for number in range(3):
        put(box, number, whose=1)
        put(box, number + 10, whose=2)
    dropped, items = box.take(9)
    assert dropped == [Dropped(1, Gap(0, 2)), Dropped(2, Gap(10, 11))]
    assert items == ["2:12"]


def test_an_item_that_tells_of_lost_events_joins_what_is_dropped_and_is_no_event():
    box = mailbox(max_items=1)
    put(box, 0)
    box.put("lost 1 to 4", 1, Gap(1, 4))
    put(box, 5)
    assert put(box, 6) == [1]
    assert box.dropped == 2
    assert box.take(9) == ([Dropped(1, Gap(0, 5))], ["1:6"])


def test_an_item_that_tells_of_no_events_is_dropped_without_a_trace():
    box = mailbox(max_items=1)
    box.put("joined", 1, None)
    put(box, 0)
    assert (box.dropped, box.take(9)) == (0, ([], ["1:0"]))


def test_events_that_did_not_follow_each_other_are_told_apart():
    box = mailbox(max_items=1)
    for number in (0, 1, 5, 3, 9):
        put(box, number)
    dropped, _ = box.take(9)
    assert [gap for _, gap in dropped] == [Gap(0, 1), Gap(5, 5), Gap(3, 3)]


def test_too_many_ranges_run_together():
    box = mailbox(max_items=1)
    for number in range(0, 4 * MAX_RANGES, 2):
        put(box, number)
    dropped, _ = box.take(9)
    assert len(dropped) == MAX_RANGES
    assert dropped[-1].gap == Gap(2 * MAX_RANGES - 2, 4 * MAX_RANGES - 4)


@given(st.integers(1, 9), st.integers(1, 40), st.lists(st.integers(0, 12), max_size=80))
def test_every_event_is_taken_or_told_as_dropped_in_order_and_within_the_bounds(
    max_items, max_bytes, sizes
):
    box, numbers, said = Mailbox(max_items=max_items, max_bytes=max_bytes), iter(range(999)), []
    for size in sizes:
        if size == 0:
            dropped, items = box.take(2)
            said += [n for _, gap in dropped for n in range(gap.first, gap.last + 1)] + items
            continue
        number = next(numbers)
        box.put(number, 1, Gap(number, number), size)
        assert len(box._letters) <= max_items
        assert box._bytes <= max_bytes or len(box._letters) == 1
    dropped, items = box.take(999)
    said += [n for _, gap in dropped for n in range(gap.first, gap.last + 1)] + items
    assert said == list(range(next(numbers)))
    assert box._bytes == 0
