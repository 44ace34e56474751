from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.fields import Fields, read_scope, read_text

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)

READERS = {
    "text": lambda fields: fields.text("x"),
    "integer": lambda fields: fields.integer("x"),
    "number": lambda fields: fields.number("x"),
    "seconds": lambda fields: fields.seconds("x"),
    "flag": lambda fields: fields.flag("x"),
    "items": lambda fields: fields.items("x", read_text),
    "map": lambda fields: fields.map("x"),
    "scope": lambda fields: fields.scope("x"),
}
FITTING = {
    "True": ("flag",),
    "1": ("integer", "number", "seconds"),
    "-1": ("number",),
    "18446744073709551616": ("number", "seconds"),
    "1.5": ("number", "seconds"),
    "'a'": ("text",),
    "[]": ("items",),
    "{}": ("map",),
    "{'a': 1}": ("map",),
}
"""Which readers take a value of the test below."""
RIGHT = {
    "text": "a",
    "integer": 2**64 - 1,
    "number": -1.5,
    "seconds": 0.5,
    "flag": False,
    "items": ["a", "b"],
    "map": {},
    "scope": ["models", "prod"],
}


@pytest.mark.parametrize("kind", READERS)
def test_a_right_value_is_read_once(kind):
    fields = Fields("request", {"x": RIGHT[kind]})
    READERS[kind](fields)
    fields.done()
    with pytest.raises(InvalidArgumentError, match=r"^request\.x: expected .*(nothing|None)$"):
        READERS[kind](fields)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "value", [None, True, 1, -1, 2**64, 1.5, math.nan, math.inf, "a", [], [1], {}, {"a": 1}, b"b"]
)
def test_a_wrong_value_is_refused_by_name(kind, value):
    if kind in FITTING.get(repr(value), ()):
        READERS[kind](Fields("request", {"x": value}))
        return
    with pytest.raises(InvalidArgumentError, match=r"^request\.x.* expected "):
        READERS[kind](Fields("request", {"x": value}))


@pytest.mark.parametrize("value", [True, "2", 1.0, -1, 2**64, None])
def test_what_is_no_integer_in_range_is_refused(value):
    with pytest.raises(InvalidArgumentError, match="an integer from 0 to"):
        Fields("r", {"x": value}).integer("x")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", -(10**400)])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"r\.x: expected a number"):
        Fields("r", {"x": value}).number("x")


@pytest.mark.parametrize("value", [0, -1.0])
def test_seconds_are_above_0(value):
    with pytest.raises(InvalidArgumentError, match="seconds above 0"):
        Fields("r", {"x": value}).seconds("x")


@pytest.mark.parametrize("given_", [{}, {"x": None}])
def test_an_optional_field_may_be_absent_or_null(given_):
    for read in (Fields.optional_text, Fields.optional_integer):
        fields = Fields("r", given_)
        assert not fields.has("x")
        assert read(fields, "x") is None
        fields.done()


def test_an_optional_field_that_is_there_must_be_right():
    assert Fields("r", {"x": "a"}).optional_text("x") == "a"
    assert Fields("r", {"x": 7}).optional_integer("x") == 7
    with pytest.raises(InvalidArgumentError, match=r"r\.x: expected a text, got 1"):
        Fields("r", {"x": 1}).optional_text("x")
    with pytest.raises(InvalidArgumentError, match=r"r\.x: expected an integer"):
        Fields("r", {"x": "a"}).optional_integer("x")


def test_an_item_is_named_with_its_place():
    with pytest.raises(InvalidArgumentError, match=r"^r\.x\[1\]: expected a text, got 2$"):
        Fields("r", {"x": ["a", 2]}).items("x", read_text)


def test_a_map_inside_is_named_with_its_path():
    with pytest.raises(InvalidArgumentError, match=r"^r\.x\.y: expected a text, got nothing$"):
        Fields("r", {"x": {}}).map("x").text("y")


def test_a_value_is_handed_over_raw():
    assert Fields("r", {"x": [1]}).raw("x") == [1]
    assert Fields("r", {}).raw("x") is None


def test_a_field_that_nobody_asked_for_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"^r: unknown field 'a'$"):
        Fields("r", {"b": 1, "a": 2}).done()


def test_a_long_name_of_an_unknown_field_is_cut():
    with pytest.raises(InvalidArgumentError) as caught:
        Fields("r", {"x" * 1_000_000: 1}).done()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [None, [], 1, "x", b"y"])
def test_only_a_map_has_fields(value):
    with pytest.raises(InvalidArgumentError, match=r"^r: expected a map, got "):
        Fields("r", value)


@pytest.mark.parametrize(
    "value",
    [None, "models", [], ["models", "a", "b", "c", "d"], ["model"], [["models"]], [None]]
    + [["models", name] for name in ("", ".", "..", "a/b", "a\n", 1, None, "x" * 254, "\ud800")],
)
def test_what_is_no_scope_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^r\.x"):
        Fields("r", {"x": value}).scope("x")


def test_a_scope_is_a_kind_and_up_to_three_names():
    assert read_scope("r", ["channels"]) == ("channels",)
    assert read_scope("r", ["models", "a", "b", "ü"]) == ("models", "a", "b", "ü")


@given(JUNK)
def test_junk_is_refused_and_nothing_else_happens(value):
    for read in READERS.values():
        with suppress(InvalidArgumentError):
            fields = Fields("r", {"x": value})
            read(fields)
            fields.done()
            Fields("r", value).done()
