from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from discovery.cards import (
    card_as,
    checked_card,
    display_name_of,
    is_lora_card,
    mapping_from_object,
)
from discovery.errors import InvalidArgumentError

SEED_TEXT = "failed to deserialize model display_name from card_json"


@dataclass
class Card:
    display_name: str
    context_length: int = 0
    seen: list[str] = field(default_factory=list, init=False)


class Pydantic:
    def __init__(self, fields: Any) -> None:
        self.fields = fields

    @classmethod
    def model_validate(cls, fields: dict[str, object]) -> Pydantic:
        return cls(fields)

    def model_dump(self) -> Any:
        return self.fields


@pytest.mark.parametrize(
    "card", [{"display_name": "m"}, Card("m"), Pydantic({"display_name": "m"})], ids=type
)
def test_mappings_dataclasses_and_models_give_their_fields(card: object) -> None:
    assert mapping_from_object(card)["display_name"] == "m"


@pytest.mark.parametrize(
    "card",
    [None, "m", 7, ["m"], Card, Pydantic, Pydantic("m"), object()],
    ids=["None", "text", "int", "list", "dataclass", "model class", "model", "object"],
)
def test_other_objects_give_none(card: object) -> None:
    with pytest.raises(InvalidArgumentError, match="card must be a mapping, a dataclass instance"):
        mapping_from_object(card)


def test_a_checked_card_is_a_copy() -> None:
    card = {"display_name": "m", "needs": [1]}
    copy = checked_card(card)
    assert copy == card
    assert copy["needs"] is not card["needs"]


@pytest.mark.parametrize(
    "card", [{}, {"display_name": None}, {"display_name": 7}, {"display_name": ""}]
)
def test_a_card_without_display_name_is_refused_in_the_peers_words(card: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"card.display_name: {SEED_TEXT}: expected a"):
        checked_card(card)


def test_a_card_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"card must be a mapping, got \['m'\]"):
        checked_card(["m"])


def test_an_empty_name_of_a_foreign_card_is_read() -> None:
    assert display_name_of({"display_name": ""}) == ""


@pytest.mark.parametrize(
    ("card", "suffix", "expected"),
    [
        ({}, None, False),
        ({"lora": None}, None, False),
        ({"lora": {"name": "a"}}, None, True),
        ({"lora": False}, None, True),
        ({}, "a", True),
    ],
)
def test_a_suffix_or_a_lora_makes_an_adapter(
    card: dict[str, Any],
    suffix: str | None,
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert is_lora_card(card, suffix) is expected


def test_a_dataclass_gets_the_fields_it_has() -> None:
    card = card_as({"display_name": "m", "context_length": 5, "seen": ["x"], "slug": "m"}, Card)
    assert card == Card("m", 5)
    assert card.seen == []


def test_a_model_validates_the_fields() -> None:
    assert card_as({"display_name": "m"}, Pydantic).fields == {"display_name": "m"}


def test_any_callable_gets_a_copy_of_the_mapping() -> None:
    card = {"display_name": "m", "needs": [1]}
    copy = card_as(card, dict)
    assert copy == card
    assert copy["needs"] is not card["needs"]
    assert card_as(card, len) == 2


def test_a_target_that_refuses_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match=r"card 'm' cannot be read as float: .*"):
        card_as({"display_name": "m"}, float)
    with pytest.raises(InvalidArgumentError, match=r"card None cannot be read as Card: .*missing"):
        card_as({"slug": "m"}, Card)


@pytest.mark.parametrize("source_path", [3, [], {"a": 1}, True])
def test_a_source_path_is_a_string_or_nothing(source_path):
    with pytest.raises(InvalidArgumentError, match=r"card\.source_path"):
        checked_card({"display_name": "m", "source_path": source_path})
    assert checked_card({"display_name": "m", "source_path": None})["source_path"] is None
