from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discovery.events import Cause
from discovery.protocol import ItemChange
from discovery.view import Shown, View
from tests.support.records import (
    came,
    digest,
    endpoint_key,
    item,
    model_item,
    model_key,
    unreadable_item,
    went,
)

if TYPE_CHECKING:
    from discovery.protocol import Item


def view_of(*items: Item) -> View:
    view = View()
    view.replace({each.key: each for each in items}, 5, may_hold=False)
    view.take()
    return view


def said(view: View) -> list[tuple[str, bool, Cause | None]]:
    return [(s.key, s.item is not None, s.cause) for s in view.take()]


# ---- one revision


def test_removals_come_before_additions() -> None:
    view = view_of(item(1, 5))
    view.apply([came(item(2, 6)), went(endpoint_key(1), Cause.REVOKED)], 6, may_hold=False)
    assert view.take() == [
        Shown(endpoint_key(1), None, 6, Cause.REVOKED),
        Shown(endpoint_key(2), item(2, 6), 6),
    ]
    assert view.digest == digest(item(2, 6))
    assert view.take() == []


def test_a_removal_says_what_is_known_of_it() -> None:
    view = view_of(item(1, 5))
    went_so = ItemChange(endpoint_key(1), None, Cause.CRASHED, "exit status 1")
    view.apply([went_so], 6, may_hold=True)
    assert view.take() == [Shown(endpoint_key(1), None, 6, Cause.CRASHED, "exit status 1")]


def test_a_removal_without_a_cause_says_resync() -> None:
    view = view_of(item(1, 5))
    view.apply([went(endpoint_key(1))], 6, may_hold=False)
    assert said(view) == [(endpoint_key(1), False, Cause.RESYNC)]


def test_what_is_not_there_cannot_go() -> None:
    view = view_of()
    view.apply([went(endpoint_key(1))], 6, may_hold=False)
    view.apply([went(endpoint_key(1))], 7, may_hold=True)
    assert said(view) == []
    assert not view.held


def test_the_same_record_again_is_nothing_new() -> None:
    view = view_of(item(1, 5))
    view.apply([came(item(1, 5))], 5, may_hold=False)
    assert said(view) == []


def test_a_new_revision_of_the_same_value_is_in_the_digest_but_not_told() -> None:
    view = view_of(item(1, 5))
    view.apply([came(item(1, 6))], 6, may_hold=False)
    assert said(view) == []
    assert view.digest == digest(item(1, 6))
    assert view.shown()[endpoint_key(1)].revision == 6


def test_another_value_of_the_same_revision_is_told() -> None:
    view = view_of(item(1, 5, port=1))
    view.replace({endpoint_key(1): item(1, 5, port=2)}, 5, may_hold=False)
    assert said(view) == [(endpoint_key(1), True, None)]


def test_a_record_that_cannot_be_read_is_in_the_digest_but_not_told() -> None:
    view = view_of()
    view.apply([came(unreadable_item(1, 6))], 6, may_hold=False)
    assert said(view) == []
    assert view.digest == digest(unreadable_item(1, 6))
    view.apply([came(item(1, 7))], 7, may_hold=False)
    assert said(view) == [(endpoint_key(1), True, None)]
    view.apply([came(unreadable_item(1, 8))], 8, may_hold=False)
    assert said(view) == [(endpoint_key(1), False, Cause.RESYNC)]
    view.apply([went(endpoint_key(1))], 9, may_hold=False)
    assert said(view) == []
    assert view.digest == 0


# ---- a snapshot


def test_a_snapshot_withdraws_what_vanished_and_shows_only_what_is_new_or_different() -> None:
    view = view_of(item(1, 5), item(2, 5), item(3, 5))
    new = (item(2, 5), item(3, 8, port=2), item(4, 7))
    view.replace({each.key: each for each in new}, 9, may_hold=False)
    assert said(view) == [
        (endpoint_key(1), False, Cause.RESYNC),
        (endpoint_key(3), True, None),
        (endpoint_key(4), True, None),
    ]
    assert view.digest == digest(*new)


# ---- models that become others


def test_models_that_become_others_all_go_before_the_first_comes() -> None:
    view = view_of(model_item(1, 5, "A"), model_item(2, 5, "A"))
    new = (model_item(1, 8, "B"), model_item(2, 9, "B"))
    view.replace({each.key: each for each in new}, 9, may_hold=False)
    assert [shown for _, shown, _ in said(view)] == [False, False, True, True]
    assert view.digest == digest(*new)


def test_a_model_that_cannot_be_read_any_more_goes_before_another_comes() -> None:
    view = view_of(model_item(1, 5, "A"))
    spoiled = model_item(1, 6, "A")
    spoiled = type(spoiled)(spoiled.key, 6, None)
    view.apply([came(model_item(2, 6, "B")), came(spoiled)], 6, may_hold=False)
    assert [(key, shown) for key, shown, _ in said(view)] == [
        (model_key(1), False),
        (model_key(2), True),
    ]


def test_a_held_model_that_comes_back_as_another_goes_first() -> None:
    view = view_of(model_item(1, 5, "A"))
    view.apply([went(model_key(1), Cause.LEASE_EXPIRED)], 6, may_hold=True)
    view.apply([came(model_item(1, 7, "B"))], 7, may_hold=True)
    assert [shown for _, shown, _ in said(view)] == [False, True]
    assert not view.held


# ---- holding


@pytest.mark.parametrize("cause", [None, Cause.LEASE_EXPIRED])
def test_the_end_of_a_lease_is_held_until_it_is_released(cause: Cause | None) -> None:
    view = view_of(item(1, 5))
    view.apply([went(endpoint_key(1), cause)], 6, may_hold=True)
    assert said(view) == []
    assert view.digest == 0
    assert view.held.keys() == view.shown().keys() == {endpoint_key(1)}
    view.release(8)
    assert view.take() == [Shown(endpoint_key(1), None, 8, Cause.LEASE_EXPIRED)]
    assert not view.shown()


@pytest.mark.parametrize("cause", [Cause.UNREGISTERED, Cause.REVOKED, Cause.CRASHED, Cause.RESYNC])
def test_no_other_end_is_ever_held(cause: Cause) -> None:
    view = view_of(item(1, 5))
    view.apply([went(endpoint_key(1), cause)], 6, may_hold=True)
    assert said(view) == [(endpoint_key(1), False, cause)]


def test_who_comes_back_unchanged_was_never_away() -> None:
    view = view_of(item(1, 5))
    view.apply([went(endpoint_key(1), Cause.LEASE_EXPIRED)], 6, may_hold=True)
    view.apply([came(item(1, 7))], 7, may_hold=True)
    view.release(8)
    assert said(view) == []
    assert view.shown() == {endpoint_key(1): item(1, 7)}
    assert view.digest == digest(item(1, 7))


def test_what_is_held_stays_so_through_later_snapshots() -> None:
    view = view_of(item(1, 5))
    view.replace({}, 2, may_hold=True)
    view.replace({endpoint_key(2): item(2, 3)}, 3, may_hold=False)
    assert view.shown().keys() == {endpoint_key(1), endpoint_key(2)}


def test_the_will_to_go_ends_a_hold() -> None:
    view = view_of(item(1, 5))
    view.apply([went(endpoint_key(1), Cause.LEASE_EXPIRED)], 6, may_hold=True)
    view.apply([went(endpoint_key(1), Cause.UNREGISTERED)], 7, may_hold=True)
    assert said(view) == [(endpoint_key(1), False, Cause.UNREGISTERED)]


def test_a_held_model_is_let_go_of_just_before_its_rival_comes() -> None:
    view = view_of(model_item(1, 5, "A"), model_item(2, 5, "A", "f"))
    view.replace({}, 6, may_hold=True)
    view.apply([came(model_item(3, 7, "B"))], 7, may_hold=True)
    assert said(view) == [
        (model_key(1), False, Cause.LEASE_EXPIRED),
        (model_key(3), True, None),
    ]
    assert view.held.keys() == {model_key(2, "f")}
    view.apply([came(model_item(4, 8, "A", "f"))], 8, may_hold=True)
    assert said(view) == [(model_key(4, "f"), True, None)]
