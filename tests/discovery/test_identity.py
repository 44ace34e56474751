"""The numbers in the names are the rows of spec/discovery.md §4.3 that rule A has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.identity import ModelIdentity, find_conflict, identity_from_card, is_compatible


def a_base(name: str, source: str | None = None) -> ModelIdentity:
    return ModelIdentity(display_name=name, source_path=source)


def a_lora(name: str, source: str | None = None) -> ModelIdentity:
    return ModelIdentity(display_name=name, source_path=source, is_lora=True)


IDENTITIES = st.builds(
    ModelIdentity,
    display_name=st.sampled_from(["a", "b", "S"]),
    source_path=st.sampled_from([None, "", "S", "T"]),
    is_lora=st.booleans(),
)


def test_4_3_row_1_the_same_name_twice_is_compatible() -> None:
    assert find_conflict(a_base("model-a"), [a_base("model-a")]) is None


def test_4_3_row_2_another_name_conflicts() -> None:
    assert find_conflict(a_base("model-b"), [a_base("model-a")]) == a_base("model-a")


def test_4_3_row_3_another_endpoint_is_another_set() -> None:
    assert find_conflict(a_base("model-b"), []) is None


def test_4_3_row_4_an_adapter_of_the_same_source_is_compatible() -> None:
    assert find_conflict(a_lora("lora", "S"), [a_base("base", "S")]) is None


def test_4_3_row_5_an_adapter_of_another_source_conflicts() -> None:
    assert find_conflict(a_lora("lora", "T"), [a_base("base", "S")]) == a_base("base", "S")


def test_4_3_row_6_in_rule_a_names_alone_decide_between_base_models() -> None:
    assert not is_compatible(a_base("alias-b", "org/base"), a_base("alias-a", "org/base"))
    assert is_compatible(a_base("alias-a", "/mount/b"), a_base("alias-a", "/mount/a"))
    assert not is_compatible(a_base("alias-b", "org/other"), a_base("alias-a", "org/base"))
    assert not is_compatible(a_base("alias-b"), a_base("alias-a", "base"))
    assert not is_compatible(a_base("alias-b", "base"), a_base("alias-a"))
    assert not is_compatible(a_base("alias-b", ""), a_base("alias-a", ""))


def test_4_3_row_8_every_existing_card_is_checked() -> None:
    existing = [a_base("A", "/a"), a_lora("x", "/a")]
    assert find_conflict(a_base("A", "/b"), existing) == a_lora("x", "/a")
    assert find_conflict(a_base("A", "/b"), existing[::-1]) == a_lora("x", "/a")


def test_4_3_row_12_the_same_adapter_on_two_instances_is_compatible() -> None:
    assert find_conflict(a_lora("x", "S"), [a_base("base", "S"), a_lora("x", "S")]) is None


def test_4_3_row_12_an_adapter_with_another_source_conflicts() -> None:
    assert find_conflict(a_lora("y", "T"), [a_base("base", "S"), a_lora("x", "S")]) is not None


def test_4_3_row_13_an_identical_registration_is_compatible() -> None:
    assert find_conflict(a_base("m", "org/base"), [a_base("m", "org/base")]) is None


def test_4_3_row_13_other_name_and_source_conflict() -> None:
    assert find_conflict(a_base("other", "org/other"), [a_base("m", "org/base")]) is not None


def test_4_3_row_13_an_adapter_of_another_base_conflicts_with_some_card() -> None:
    existing = [a_base("m", "org/base"), a_lora("my/lora x", "org/base")]
    assert find_conflict(a_lora("z", "org/other"), existing) in existing


def test_without_a_source_the_name_is_the_base() -> None:
    assert a_base("m").base == "m"
    assert a_base("m", "S").base == "S"
    assert is_compatible(a_lora("lora", "m"), a_base("m"))
    assert not is_compatible(a_lora("lora"), a_base("m"))


@pytest.mark.parametrize(
    ("card", "suffix", "identity"),
    [
        ({"display_name": "m"}, None, a_base("m")),
        ({"display_name": "m", "source_path": "S"}, None, a_base("m", "S")),
        ({"display_name": "m", "source_path": 7}, None, a_base("m")),
        ({"display_name": "m", "source_path": None, "lora": None}, None, a_base("m")),
        ({"display_name": "m", "lora": {"name": "m"}}, None, a_lora("m")),
        ({"display_name": "m"}, "m", a_lora("m")),
    ],
)
def test_a_card_tells_its_identity(
    card: dict[str, Any], suffix: str | None, identity: ModelIdentity
) -> None:
    assert identity_from_card(card, suffix) == identity


def test_a_card_without_a_name_has_no_identity() -> None:
    with pytest.raises(
        InvalidArgumentError, match="failed to deserialize model display_name from card_json"
    ):
        identity_from_card({"source_path": "S"}, None)


@given(IDENTITIES, IDENTITIES)
def test_compatible_is_symmetric(a: ModelIdentity, b: ModelIdentity) -> None:
    assert is_compatible(a, b) is is_compatible(b, a)


@given(IDENTITIES)
def test_every_model_is_compatible_with_itself(a: ModelIdentity) -> None:
    assert is_compatible(a, a)


def test_compatible_is_not_transitive() -> None:
    first, second, third = a_lora("x", "S"), a_base("m", "S"), a_base("m", "T")
    assert is_compatible(first, second)
    assert is_compatible(second, third)
    assert not is_compatible(first, third)


def test_identities_can_be_counted() -> None:
    assert len({a_base("m"), a_base("m"), a_lora("m")}) == 2
