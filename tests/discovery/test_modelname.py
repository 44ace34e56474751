"""What a model of the catalog is called: its key, and what it is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.modelname import ModelName

PART = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=9
)
MODEL = st.tuples(st.none() | PART, PART, st.integers(1, 99))


def test_the_key_has_the_tenant_only_if_there_is_one():
    assert ModelName.of(None, "m", 3).key == "m::3"
    assert ModelName.of("t", "m", 3).key == "t::m::3"


@pytest.mark.parametrize("part", ["a::b", ":a", "a:", "::", ":", "", "a\n", "\ud800", 5])
@pytest.mark.parametrize("where", ["tenant", "name"])
def test_no_part_of_a_key_can_be_taken_for_two(where, part):
    names = {"tenant": "t", "name": "m", "version": 1} | {where: part}
    with pytest.raises(InvalidArgumentError, match=where):
        ModelName.of(**names)


@given(MODEL, MODEL)
def test_two_models_never_have_one_key(first, second):
    try:
        one, other = ModelName.of(*first), ModelName.of(*second)
    except InvalidArgumentError:
        return
    assert (one.key == other.key) == (one == other) == (one.row == other.row)
    assert ModelName.parse(one.key) == one


@pytest.mark.parametrize(
    "key", ["m", "m::", "m::x", "m::01", "m::0", "a::b::c::1", "::m::1", "m::-1"]
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(InvalidArgumentError):
        ModelName.parse(key)


def test_names_are_as_long_as_their_row_takes():
    assert ModelName.of(None, "m" * 253, 1).scope[2] == "m" * 253
    with pytest.raises(InvalidArgumentError, match="300 bytes when percent-encoded, expected 253"):
        ModelName.of(None, "/" * 100, 1)
    with pytest.raises(InvalidArgumentError, match=r"tenant .*expected 1 to 64 bytes"):
        ModelName.of("t" * 65, "m", 1)


@pytest.mark.parametrize("version", [0, -1, 1.0, True, "1", None, 2**63])
def test_a_version_is_an_integer_from_1(version):
    with pytest.raises(InvalidArgumentError, match=r"version .*expected an integer of 1 or more"):
        ModelName.of(None, "m", version)
