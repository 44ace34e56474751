from __future__ import annotations

from discovery.recovery import Recovery


def test_nothing_is_recovering_before_it_begins() -> None:
    assert not Recovery(10.0).is_on(0.0)


def test_a_recovery_lasts_its_window() -> None:
    recovery = Recovery(10.0)
    recovery.begin(5.0)
    assert recovery.is_on(5.0)
    assert recovery.is_on(14.9)
    assert not recovery.is_on(15.0)


def test_beginning_again_prolongs_it_and_is_counted() -> None:
    recovery = Recovery(10.0)
    recovery.begin(0.0)
    recovery.begin(9.0)
    assert recovery.is_on(18.9)
    assert recovery.begun == 2


def test_without_a_window_there_is_no_recovery() -> None:
    recovery = Recovery(0.0)
    recovery.begin(5.0)
    assert not recovery.is_on(5.0)
