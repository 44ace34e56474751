from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from discovery.events import Added, Cause, Event, Removed
from discovery.followfield import follow_field
from discovery.spec import EndpointSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from discovery.instance import ModelInstance


def a_model(
    instance_id: int, value: object, *, suffix: str | None = None, endpoint: str = "ep", **card: Any
) -> ModelInstance:
    spec = ModelSpec(
        namespace="ns",
        component="comp",
        endpoint=endpoint,
        card={"display_name": "m", "value": value, **card},
        suffix=suffix,
    )
    return spec.instance(instance_id)


def added(instance_id: int, value: object, **options: Any) -> Added:
    return Added(instance=a_model(instance_id, value, **options), revision=1, is_update=False)


def removed(instance_id: int, **options: Any) -> Removed:
    return Removed(id=a_model(instance_id, 0, **options).id, revision=2, cause=Cause.UNREGISTERED)


def value_of(model: ModelInstance) -> object:
    return model.card["value"]


async def followed(*events: Event, include_lora: bool = False) -> list[dict[int, object]]:
    async def stream() -> AsyncIterator[Event]:
        for event in events:
            yield event

    return [values async for values in follow_field(stream(), value_of, include_lora=include_lora)]


async def test_every_change_gives_the_whole() -> None:
    assert await followed(added(1, "a"), added(2, "b"), added(1, "c"), removed(2)) == [
        {1: "a"},
        {1: "a", 2: "b"},
        {1: "c", 2: "b"},
        {1: "c"},
    ]


async def test_an_unchanged_value_gives_nothing() -> None:
    assert await followed(added(1, "a"), added(1, "a"), removed(2)) == [{1: "a"}]


async def test_the_last_one_leaving_gives_an_empty_whole() -> None:
    assert await followed(added(1, "a"), removed(1)) == [{1: "a"}, {}]


async def test_adapters_neither_come_nor_go() -> None:
    events = [
        added(1, "base"),
        added(1, "x", suffix="lora"),
        removed(1, suffix="lora"),
        added(2, "y", lora={"name": "y"}),
    ]
    assert await followed(*events) == [{1: "base"}]


async def test_an_adapter_may_come_before_its_base() -> None:
    assert await followed(added(1, "x", suffix="lora"), added(1, "base")) == [{1: "base"}]


async def test_the_base_stays_when_its_adapter_leaves() -> None:
    events = [added(1, "x", suffix="lora"), added(1, "base"), removed(1, suffix="lora")]
    assert await followed(*events) == [{1: "base"}]


async def test_a_base_card_that_became_an_adapter_leaves() -> None:
    assert await followed(added(1, "a"), added(1, "b", lora={"name": "b"})) == [{1: "a"}, {}]


async def test_adapters_count_when_asked_for_and_give_way_to_the_base() -> None:
    events = [
        added(1, "x", suffix="x"),
        added(1, "y", suffix="y"),
        added(1, "base"),
        added(1, "z", suffix="z"),
        removed(1),
        removed(1, suffix="z"),
    ]
    assert await followed(*events, include_lora=True) == [
        {1: "x"},
        {1: "y"},
        {1: "base"},
        {1: "z"},
        {1: "y"},
    ]


async def test_the_newest_base_card_of_a_process_counts() -> None:
    events = [added(1, "a", endpoint="e1"), added(1, "b", endpoint="e2"), removed(1, endpoint="e2")]
    assert await followed(*events) == [{1: "a"}, {1: "b"}, {1: "a"}]


async def test_instances_of_other_kinds_are_passed_over() -> None:
    endpoint = EndpointSpec(
        namespace="ns", component="comp", endpoint="ep", transport={"tcp": "h:1"}
    ).instance(1)
    assert await followed(Added(instance=endpoint, revision=1, is_update=False)) == []


async def test_a_yielded_dict_is_the_callers_own() -> None:
    async def stream() -> AsyncIterator[Event]:
        yield added(1, "a")
        yield added(2, "b")

    seen = []
    async for values in follow_field(stream(), value_of):
        seen.append(dict(values))
        values.clear()
    assert seen == [{1: "a"}, {1: "a", 2: "b"}]


async def test_what_extract_raises_ends_it() -> None:
    with pytest.raises(KeyError):
        _ = [
            values
            async for values in follow_field(_one(added(1, "a")), lambda model: model.card["no"])
        ]


async def _one(event: Event) -> AsyncIterator[Event]:
    yield event
