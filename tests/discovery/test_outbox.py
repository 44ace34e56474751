from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from discovery.events import Added, Cause, Removed
from discovery.outbox import Coalescer, Outbox
from discovery.protocol import Item
from discovery.view import Shown
from tests.support.records import endpoint_key, item


def up(owner: int, revision: int, port: int = 1) -> Shown:
    return Shown(endpoint_key(owner), item(owner, revision, port), revision)


def down(owner: int, revision: int, cause: Cause | None = Cause.REVOKED) -> Shown:
    return Shown(endpoint_key(owner), None, revision, cause)


def outbox_with(*shown: Shown) -> Outbox:
    outbox = Outbox()
    outbox.push(shown)
    outbox.take()
    return outbox


def short(outbox: Outbox) -> list[tuple[str, int, int]]:
    events = []
    for event in outbox.take():
        if isinstance(event, Added):
            name = "update" if event.is_update else "add"
            events.append((name, event.instance.instance_id, event.revision))
        else:
            events.append(("remove", event.id.instance_id, event.revision))
    return events


# ---- coalescer


def test_what_is_pushed_comes_out_in_order() -> None:
    coalescer = Coalescer()
    assert not coalescer
    coalescer.push([up(2, 1), up(1, 2)])
    assert coalescer
    assert coalescer.take() == [up(2, 1), up(1, 2)]
    assert not coalescer


def test_of_each_key_the_first_removal_and_the_last_word_are_kept() -> None:
    coalescer = Coalescer()
    coalescer.push([up(1, 1)])
    coalescer.take()
    coalescer.push([up(1, 2, 2), down(1, 3), up(2, 4), up(1, 5, 3), down(1, 6), up(1, 7, 4)])
    assert coalescer.take() == [down(1, 3), up(2, 4), up(1, 7, 4)]
    coalescer.push([down(1, 8), up(1, 9), down(1, 10)])
    assert coalescer.take() == [down(1, 8)]


def test_the_dead_are_forgotten_so_that_memory_is_bounded_by_the_living() -> None:
    coalescer = Coalescer()
    for owner in range(1000):
        coalescer.push([up(owner, owner), down(owner, owner), down(owner, owner)])
    assert not coalescer
    assert coalescer.take() == []


# ---- outbox


def test_a_diff_is_additions_updates_and_removals_in_order_of_revision() -> None:
    outbox = outbox_with(up(1, 1), up(2, 1))
    outbox.push([up(3, 2), down(1, 3), up(2, 4, 9)])
    assert outbox
    assert short(outbox) == [("add", 3, 2), ("remove", 1, 3), ("update", 2, 4)]
    assert not outbox
    assert outbox.take() == []


def test_what_cancels_out_is_not_told() -> None:
    outbox = outbox_with(up(1, 1))
    outbox.push([up(2, 2), down(2, 3), down(1, 4), up(1, 5), up(1, 6)])
    assert outbox
    assert outbox.take() == []


def test_what_came_back_different_is_told_twice() -> None:
    outbox = outbox_with(up(1, 1))
    outbox.push([down(1, 2), up(2, 3), up(1, 4, 2)])
    assert short(outbox) == [("remove", 1, 2), ("add", 2, 3), ("add", 1, 4)]


def test_many_updates_are_one() -> None:
    outbox = outbox_with(up(1, 1))
    outbox.push([up(1, revision, revision) for revision in range(2, 100)])
    assert short(outbox) == [("update", 1, 99)]


def test_a_removal_keeps_its_detail() -> None:
    outbox = outbox_with(up(1, 1))
    outbox.push([replace(down(1, 2), detail="exit status 1")])
    (removed,) = outbox.take()
    assert isinstance(removed, Removed)
    assert removed.detail == "exit status 1"


def test_a_removal_keeps_its_cause() -> None:
    outbox = outbox_with(up(1, 1), up(2, 1))
    outbox.push([down(1, 2, Cause.LEASE_EXPIRED), down(2, 2, None)])
    events = outbox.take()
    assert [e.cause for e in events if isinstance(e, Removed)] == [
        Cause.LEASE_EXPIRED,
        Cause.RESYNC,
    ]


def test_an_item_without_an_instance_is_nothing_to_a_reader() -> None:
    outbox = outbox_with(up(1, 1))
    outbox.push([Shown(endpoint_key(2), Item(endpoint_key(2), 2, None), 2)])
    assert outbox.take() == []


PUSHES = st.tuples(st.integers(1, 4), st.sampled_from([1, 2, None]), st.booleans())


@given(pushes=st.lists(PUSHES, max_size=30), is_relayed=st.booleans())
def test_a_slow_reader_ends_where_a_quick_one_does(
    pushes: list[tuple[int, int | None, bool]], *, is_relayed: bool
) -> None:
    relay, outbox = Coalescer(), Outbox()
    shown: dict[object, int] = {}
    reader: dict[object, int] = {}
    last = 0
    for revision, (owner, port, is_read) in enumerate([*pushes, (1, 1, True)], 1):
        change = down(owner, revision) if port is None else up(owner, revision, port)
        if port is None and shown.pop(endpoint_key(owner), None) is None:
            continue
        if port is not None:
            shown[endpoint_key(owner)] = port
        relay.push([change])
        if is_relayed and not is_read:
            continue
        outbox.push(relay.take())
        for event in outbox.take() if is_read else ():
            assert event.revision >= last
            last = event.revision
            if isinstance(event, Added):
                key = endpoint_key(event.instance.instance_id)
                assert event.is_update == (key in reader)
                reader[key] = int(dict(event.instance.transport)["tcp"].removeprefix("h:"))
            else:
                del reader[endpoint_key(event.id.instance_id)]
    assert reader == shown
