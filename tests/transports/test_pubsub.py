"""The seam itself holds the counted prefixes; its contracts are in the conformance suite."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transports.pubsub import LivePrefixes

PREFIXES = st.text("ab/", max_size=4).map(str.encode)


@given(st.lists(st.tuples(st.booleans(), PREFIXES)), PREFIXES)
def test_prefixes_are_touched_as_a_plain_list_says(steps, asked):
    live, plain = LivePrefixes(), []
    for is_added, prefix in steps:
        if is_added:
            live.add(prefix)
            plain.append(prefix)
        else:
            live.discard(prefix)
            if prefix in plain:
                plain.remove(prefix)
    expected = any(held.startswith(asked) or asked.startswith(held) for held in plain)
    assert live.touch(asked) == expected
