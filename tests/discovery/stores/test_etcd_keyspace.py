from __future__ import annotations

import orjson
import pytest

from discovery.events import Cause
from discovery.store import Delete
from discovery.stores.etcd.keyspace import NOT_SAID, Keyspace, Why, causes_of, head_value


def test_why_keys_were_deleted_is_read_back():
    ops = [Delete("a", cause=Cause.CRASHED, detail="exit status 1"), Delete("b")]
    assert causes_of(head_value("m", ops)) == {"a": Why(Cause.CRASHED, "exit status 1")}


@pytest.mark.parametrize("cause", [[], {}, None, 1, "of a newer version"], ids=str)
def test_a_cause_that_is_none_of_ours_is_not_told(cause):
    """A list was a TypeError, which ended the watch of the store."""
    value = orjson.dumps({"cause": cause, "causes": {"a": cause}})
    assert causes_of(value) == {"a": NOT_SAID}
    assert Keyspace("").why_of("discoveryd/ends/1f", value) == (0x1F, NOT_SAID)


@pytest.mark.parametrize("value", [b"", b"[]", b'{"causes":1}', b'{"causes":{"a":1},"details":[]}'])
def test_a_head_that_is_not_ours_tells_nothing(value):
    assert causes_of(value) == {}
