from __future__ import annotations

from discovery.held import Held, stance_of
from discovery.identity import ModelIdentity
from discovery.protocol import Item
from tests.support.records import EP, item, model_instance, model_item, model_key, unreadable_item


def test_only_a_model_takes_a_stance() -> None:
    assert stance_of(model_item(1, 5, "A")) == (EP, ModelIdentity(display_name="A"))
    assert stance_of(item(1, 5)) is None
    assert stance_of(unreadable_item(1, 5)) is None


def test_rivals_are_the_incompatible_models_on_the_same_endpoint() -> None:
    held = Held()
    for each in (
        model_item(1, 5, "A"),
        model_item(2, 5, "A"),
        model_item(3, 5, "B"),
        model_item(4, 5, "A", "f"),
        item(1, 5),
    ):
        held.put(each)
    assert held.rivals_of(model_item(9, 6, "B")) == [model_key(1), model_key(2)]
    assert held.rivals_of(model_item(9, 6, "A", "g")) == []
    assert held.rivals_of(item(9, 6)) == []


def test_an_adapter_is_no_rival_of_its_base() -> None:
    held = Held()
    held.put(model_item(1, 5, "A"))
    adapter = model_instance(1, "A", suffix="x")
    assert held.rivals_of(Item(model_key(1, suffix="x"), 6, adapter)) == []


def test_what_is_let_go_of_leaves_nothing_behind() -> None:
    held = Held()
    for each in (model_item(1, 5, "A"), model_item(2, 5, "A"), model_item(3, 5, "B"), item(1, 5)):
        held.put(each)
    assert held.pop("unknown") is None
    for key in list(held.items):
        popped = held.pop(key)
        assert popped is not None
        assert popped.key == key
    assert (held.items, held._models) == ({}, {})
