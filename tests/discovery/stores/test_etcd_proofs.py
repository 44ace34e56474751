"""What was written must come through the watch: rules, in invented times."""

from __future__ import annotations

import pytest

from discovery.stores.etcd.proofs import SILENT_AFTER_S, Proofs

LONG = SILENT_AFTER_S + 0.001


@pytest.fixture
def proofs():
    """Revisions 5 and 7 were written at 10 and 11 s."""
    made = Proofs()
    made.note(5, 10.0)
    made.note(7, 11.0)
    return made


@pytest.mark.parametrize(
    ("revision", "proven_at"),
    [(4, float("-inf")), (5, 10.0), (6, 10.0), (7, 11.0), (100, 11.0)],
)
def test_a_view_that_has_what_was_written_was_up_to_date_when_that_was_asked(
    proofs, revision, proven_at
):
    proofs.settle(revision)
    assert proofs.proven_at == proven_at
    proofs.settle(0)
    assert proofs.proven_at == proven_at


def test_what_was_forgotten_proves_nothing_and_is_not_waited_for(proofs):
    proofs.forget()
    proofs.settle(100)
    assert proofs.proven_at == float("-inf")
    assert not proofs.is_silent(0, 0.0, 1000.0)


def test_a_watch_is_silent_when_what_was_written_has_not_come_for_long(proofs):
    assert not proofs.is_silent(4, 0.0, 10.0 + SILENT_AFTER_S)
    assert proofs.is_silent(4, 0.0, 10.0 + LONG)


def test_a_watch_that_has_brought_it_is_not_silent_even_if_nobody_has_read_it(proofs):
    assert not proofs.is_silent(5, 0.0, 1000.0)
    proofs.settle(5)
    assert proofs.is_silent(6, 0.0, 11.0 + LONG)


def test_a_watch_with_a_new_connection_has_its_time_from_then_on(proofs):
    assert not proofs.is_silent(4, 20.0, 20.05)
    assert not proofs.is_silent(4, 20.0, 20.0 + SILENT_AFTER_S)
    assert proofs.is_silent(4, 20.0, 20.0 + LONG)


def test_a_watch_without_a_connection_is_not_silent(proofs):
    assert not proofs.is_silent(4, None, 1000.0)
