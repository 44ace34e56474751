from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.names import check_instance_id, check_segment, check_text, shown


@pytest.mark.parametrize("name", ["a", "...", "my ns", "a.b", "ünï", "x" * 253, "é" * 126, "%2F"])
def test_a_segment_may_be_any_short_text_without_slashes(name: str) -> None:
    assert check_segment("namespace", name) == name


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "is empty"),
        (".", "is a relative path"),
        ("..", "is a relative path"),
        ("a/b", "contains '/'"),
        ("a\x00", "contains '\\x00'"),
        ("a\n", "contains '\\n'"),
        ("\x7f", "contains '\\x7f'"),
        ("\x85", "contains '\\x85'"),
        ("\ud800", "contains '\\ud800'"),
        ("x" * 254, "is too long"),
        ("é" * 127, "is too long"),
    ],
)
def test_a_bad_segment_is_refused_with_field_value_and_rule(value: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_segment("namespace", value)
    assert str(caught.value).startswith("namespace '")
    assert words in str(caught.value)
    assert "expected 1-253 bytes of UTF-8" in str(caught.value)


@pytest.mark.parametrize("value", [None, 7, b"ns", ["ns"]])
def test_a_segment_that_is_no_string_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="component must be a string, got"):
        check_segment("component", value)


@given(st.text(max_size=300))
def test_a_segment_is_either_refused_or_fits_between_two_slashes(value: str) -> None:
    try:
        check_segment("topic", value)
    except InvalidArgumentError as exc:
        assert "topic" in str(exc)  # noqa: PT017 - either is right
    else:
        assert f"a/{value}/b".split("/") == ["a", value, "b"]
        assert 1 <= len(value.encode()) <= 253


@pytest.mark.parametrize("value", ["a", "org/m", "é" * 5, "a" * 10])
def test_a_text_may_be_any_that_can_be_printed_on_a_line(value: str) -> None:
    assert check_text("name", value, 10) == value


@pytest.mark.parametrize("value", ["", "é" * 6, "a" * 11, "a\n", "\ud800", "\x85", b"a", None, 7])
def test_a_bad_text_is_refused_with_field_value_and_rule(value: object) -> None:
    told = f"name {shown(value)}: expected 1 to 10 bytes of UTF-8 without control characters"
    with pytest.raises(InvalidArgumentError) as caught:
        check_text("name", value, 10)
    assert str(caught.value) == told


@pytest.mark.parametrize("value", [0, 1, 2**53, 2**64 - 1])
def test_an_instance_id_is_any_unsigned_64_bit_integer(value: int) -> None:
    assert check_instance_id("instance_id", value) == value


@pytest.mark.parametrize("value", [-1, 2**64, True, 1.0, "1", None])
def test_other_instance_ids_are_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"instance_id must be an integer from 0 to"):
        check_instance_id("instance_id", value)


def test_long_values_are_cut_in_messages() -> None:
    assert shown("x" * 1000).endswith("… (1002 characters)")
    assert len(shown("x" * 1000)) < 150


def test_a_huge_number_can_be_shown() -> None:
    assert shown(10**5000) == "a huge int"
