from __future__ import annotations

import math
from enum import StrEnum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.jsonvalue import MAX_JSON_DEPTH, json_copy, json_depth_is_within


class Colour(StrEnum):
    RED = "red"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_is_copied_as_it_is(value: object) -> None:
    assert json_copy("card", value) == value


def test_a_copy_shares_nothing_that_can_change() -> None:
    inner = {"a": [1]}
    copy = json_copy("card", {"inner": inner})
    inner["a"].append(2)
    assert copy == {"inner": {"a": [1]}}


def test_subclasses_become_plain_json() -> None:
    copy = json_copy("card", MappingProxyType({"colour": Colour.RED, "pair": (1, 2.5)}))
    assert copy == {"colour": "red", "pair": [1, 2.5]}
    assert isinstance(copy, dict)
    assert type(copy["colour"]) is str


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [{"b": object()}]}, r"card\.a\[0\]\.b must be a JSON value, got <object"),
        ({"a": b"bytes"}, r"card\.a must be a JSON value, got b'bytes'"),
        ({1: 2}, "card must have string keys, got 1"),
        ({"a": 2**64}, r"card\.a 18446744073709551616 is out of range"),
        ({"a": -(2**63) - 1}, r"card\.a -9223372036854775809 is out of range"),
        ({"a": math.nan}, r"card\.a must be a finite number, got nan"),
        ({"a": math.inf}, r"card\.a must be a finite number, got inf"),
        ({"a": "\ud800"}, r"card\.a .* has a lone surrogate"),
        ({"\ud800": 1}, r"card key .* has a lone surrogate"),
    ],
)
def test_what_json_cannot_carry_is_refused_by_its_path(value: object, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        json_copy("card", value)


def nested(levels: int, core: object) -> object:
    value = core
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def test_the_deepest_allowed_value_is_copied() -> None:
    assert json_copy("card", nested(MAX_JSON_DEPTH, 1)) == nested(MAX_JSON_DEPTH, 1)


def test_a_deeper_value_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="nested too deep: at most 24"):
        json_copy("card", nested(MAX_JSON_DEPTH + 1, 1))


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(InvalidArgumentError, match="nested too deep"):
        json_copy("card", value)


@pytest.mark.parametrize("core", [1, [], {}], ids=["scalar", "list", "dict"])
@pytest.mark.parametrize("levels", [0, 1, 2, 5])
def test_depth_counts_lists_and_dicts(levels: int, core: object) -> None:
    depth = levels + (core != 1)
    value = nested(levels, core)
    assert json_depth_is_within(value, depth)
    assert depth == 0 or not json_depth_is_within(value, depth - 1)
