from __future__ import annotations

from discovery.position import Position


def test_a_revision_is_included_missing_or_next_within_an_epoch() -> None:
    at = Position()
    assert at.enter("e1", 5) is False
    assert (at.includes(5), at.includes(6)) == (True, False)
    assert (at.lacks(5), at.lacks(6)) == (False, True)
    at.advance(6)
    assert at.includes(6)


def test_going_back_is_told_from_going_on() -> None:
    at = Position()
    assert not at.is_after("e1", 0)
    at.enter("e1", 5)
    assert (at.is_after("e1", 4), at.is_after("e1", 5), at.is_after("e2", 1)) == (
        True,
        False,
        False,
    )


def test_an_epoch_that_was_left_is_remembered() -> None:
    at = Position()
    at.enter("e1", 5)
    assert at.enter("e2", 1) is True
    assert (at.has_left("e1"), at.has_left("e2"), at.is_in("e2")) == (True, False, True)
    assert at.is_after("e1", 100)
    assert at.enter("e2", 2) is False
