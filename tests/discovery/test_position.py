from __future__ import annotations

from discovery.position import Position


def test_a_revision_is_included_missing_or_next_within_an_epoch() -> None:
    at = Position()
    assert at.enter("e1", 5, 0.0) is False
    assert (at.includes(5), at.includes(6)) == (True, False)
    assert (at.lacks(5), at.lacks(6)) == (False, True)
    at.advance(6)
    assert at.includes(6)


def test_going_back_within_an_epoch_is_told_from_going_on() -> None:
    at = Position()
    assert not at.is_after("e1", 0, 0.0)
    at.enter("e1", 5, 0.0)
    assert at.is_after("e1", 4, 9.0)
    assert not at.is_after("e1", 5, 0.0)


def test_another_epoch_is_a_later_one_only_if_it_was_proven_after_ours_was_entered() -> None:
    at = Position()
    assert at.enter("e2", 5, 10.0) is False
    assert at.enter("e2", 7, 20.0) is False, "it is the entering that counts, not what comes after"
    assert at.is_after("e1", 100, 9.9)
    assert not at.is_after("e3", 1, 10.0)
    assert at.enter("e3", 1, 21.0) is True
    assert at.is_after("e2", 100, 20.9)
