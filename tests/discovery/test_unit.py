from __future__ import annotations

import pytest

from discovery.errors import InvalidArgumentError
from discovery.identity import ModelIdentity
from discovery.ids import EventChannelId
from discovery.settings import LimitSettings
from discovery.spec import EventChannelSpec, ModelSpec, ZmqTransport
from discovery.store import Entry, NoPutAfter
from discovery.unit import Unit, identity_of, keys_of
from tests.support.sample_specs import channel, endpoint, model

MODEL_KEY = "v1/mdc/prod/vllm/generate/1a"


def unit(*specs: object, generation: str = "a", **limits: int) -> Unit:
    return Unit.of(specs, 0x1A, generation, LimitSettings(**limits))  # type: ignore[arg-type]


def identity(display_name: str, *, is_lora: bool = False) -> ModelIdentity:
    return ModelIdentity(display_name=display_name, is_lora=is_lora)


def test_a_unit_has_the_bytes_of_all_its_records_by_key() -> None:
    found = unit(endpoint(), model("m"), channel())
    assert list(found.records) == [
        "v1/instances/prod/vllm/generate/1a",
        MODEL_KEY,
        "v1/event_channels/prod/vllm/kv-events/4d",
    ]
    assert identity_of(MODEL_KEY, found.records[MODEL_KEY]) == identity("m")


def test_a_unit_knows_its_models_and_where_they_are() -> None:
    found = unit(endpoint("other"), model("m"))
    assert found.endpoint == ("models", "prod", "vllm", "generate")
    assert found.models == {MODEL_KEY: identity("m")}
    assert found.models_prefix == "v1/mdc/prod/vllm/generate/"
    assert found.guard(7) == NoPutAfter("v1/mdc/prod/vllm/generate/", 7)


def test_a_unit_without_models_is_on_no_endpoint() -> None:
    found = unit(endpoint())
    assert found.endpoint is None
    assert not found.models


def test_models_of_one_unit_are_on_one_endpoint() -> None:
    with pytest.raises(InvalidArgumentError, match=r"\['prod/vllm/a', 'prod/vllm/b'\]"):
        unit(model("m", on="a"), model("m", on="b"))


def test_a_unit_is_not_empty() -> None:
    with pytest.raises(InvalidArgumentError, match="got 0, expected 1 to 64"):
        unit()


def test_a_unit_is_not_larger_than_is_allowed() -> None:
    unit(endpoint("a"), endpoint("b"), max_unit=2)
    with pytest.raises(InvalidArgumentError, match="got 3, expected 1 to 2"):
        unit(endpoint("a"), endpoint("b"), endpoint("c"), max_unit=2)


def test_a_spec_appears_once() -> None:
    with pytest.raises(InvalidArgumentError, match="appears twice"):
        unit(endpoint(), endpoint(address="10.0.0.8:1/x"))


def test_a_record_is_not_larger_than_is_allowed() -> None:
    spec = model("m", more="x" * 1000)
    (record,) = unit(spec).records.values()
    unit(spec, max_record_bytes=len(record))
    with pytest.raises(InvalidArgumentError, match=f"{len(record)} bytes, expected"):
        unit(spec, max_record_bytes=len(record) - 1)


def test_an_event_channel_needs_its_publishers_id() -> None:
    with pytest.raises(InvalidArgumentError, match="instance_id of an event channel"):
        unit(channel(instance_id=None))


def test_the_generation_decides_the_key_of_an_event_channel() -> None:
    (key,) = unit(channel(), generation="b").records
    assert key == "v1/event_channels/namespace/prod/component/vllm/topic/kv-events/4d"


def test_a_channel_that_the_generation_cannot_write_is_refused() -> None:
    spec = EventChannelSpec(
        namespace="prod", topic="t", transport=ZmqTransport(endpoint="tcp://h:1"), instance_id=1
    )
    with pytest.raises(InvalidArgumentError):
        unit(spec)


# ---- who is new, and whom that contradicts


def held(spec: ModelSpec) -> Entry:
    ((key, value),) = unit(spec).records.items()
    return Entry(key, value, 5, 5, 0x1A)


def test_a_model_whose_key_is_free_is_new() -> None:
    found = unit(model("m"))
    assert found.newcomers({}.get) == found.models


def test_a_model_that_keeps_its_identity_is_not_new() -> None:
    entry = held(model("m"))
    assert unit(model("m", more="1")).newcomers({MODEL_KEY: entry}.get) == {}


def test_a_model_that_changes_its_identity_is_new() -> None:
    entry = held(model("m"))
    assert MODEL_KEY in unit(model("n")).newcomers({MODEL_KEY: entry}.get)


def test_a_model_in_the_place_of_something_unreadable_is_new() -> None:
    entry = Entry(MODEL_KEY, b"junk", 5, 5, 0x1A)
    assert MODEL_KEY in unit(model("m")).newcomers({MODEL_KEY: entry}.get)


def test_a_newcomer_is_held_against_all_that_exist() -> None:
    found = unit(model("m"))
    new = list(found.models.values())
    assert found.conflict_with([], new) is None
    assert found.conflict_with([identity("m"), identity("n")], new) == (
        identity("m"),
        identity("n"),
    )


def test_what_is_not_new_is_held_against_nobody() -> None:
    assert unit(model("m")).conflict_with([identity("n")], []) is None


def test_a_unit_is_held_against_itself() -> None:
    found = unit(model("m"), model("n", suffix="adapter"))
    conflict = found.conflict_with([], found.models.values())
    assert conflict == (identity("m"), identity("n", is_lora=True))


def test_a_refusal_says_who_where_and_since_when() -> None:
    error = unit(model("m")).refusal(identity("m"), identity("n"), count=2, since_ms=0)
    assert str(error) == (
        "Cannot register model 'm' on endpoint 'prod/vllm/generate': a different model 'n' is "
        "already registered there (2 instances, since at least 1970-01-01T00:00:00Z)"
    )


# ---- keys and identities


@pytest.mark.parametrize(
    ("key", "value"),
    [(MODEL_KEY, b"junk"), (MODEL_KEY, b"{}"), ("elsewhere/1", b"{}"), ("v1/mdc/x", b"{}")],
)
def test_what_cannot_be_read_has_no_identity(key: str, value: bytes) -> None:
    assert identity_of(key, value) is None


def test_what_is_no_model_has_no_identity() -> None:
    ((key, value),) = unit(endpoint()).records.items()
    assert identity_of(key, value) is None


def test_a_record_has_one_key() -> None:
    assert keys_of(model("m").id(0x1A)) == [MODEL_KEY]


@pytest.mark.parametrize(
    ("component", "name", "count"), [("vllm", None, 2), (None, None, 1), ("vllm", "generate", 1)]
)
def test_an_event_channel_may_have_a_key_of_either_generation(
    component: str | None, name: str | None, count: int
) -> None:
    channel_id = EventChannelId(
        namespace="prod", component=component, endpoint=name, topic="t", instance_id=1
    )
    assert len(keys_of(channel_id)) == count
