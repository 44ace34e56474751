"""Which commits may share a request."""

from __future__ import annotations

import pytest

from discovery.store import AtRevision, Delete, NoPutAfter, Put
from discovery.stores.etcd.sharing import Footprint

PUT = [Put("a/b/1", b"")]


@pytest.mark.parametrize(
    ("ops", "guards", "meets"),
    [
        ([Put("a/b/2", b"")], [], False),
        ([Put("a/b/1", b"")], [], True),
        ([Delete("a/b/1")], [], True),
        ([], [AtRevision("a/b/1", 3)], True),
        ([], [AtRevision("a/b/2", 3)], False),
        ([], [NoPutAfter("a/b/", 3)], True),
        ([], [NoPutAfter("a/", 3)], True),
        ([], [NoPutAfter("", 3)], True),
        ([], [NoPutAfter("a/bb/", 3)], False),
    ],
    ids=str,
)
def test_two_commits_meet_where_one_looks_at_or_writes_what_the_other_writes(ops, guards, meets):
    first, second = Footprint(), Footprint()
    first.add(PUT, [])
    second.add(ops, guards)
    assert first.meets(ops, guards) is meets
    assert second.meets(PUT, []) is meets


def test_two_commits_that_look_at_the_same_do_not_meet():
    footprint = Footprint()
    footprint.add([Put("x", b"")], [NoPutAfter("a/", 1), AtRevision("b", 1)])
    assert not footprint.meets([Put("y", b"")], [NoPutAfter("a/", 1), AtRevision("b", 1)])
