"""What a worker may want registered: endpoints, models, adapters of them, event channels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery.eventtransport import ZmqTransport
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec
from tests.support.keystate import scope_of, stance_of

if TYPE_CHECKING:
    import random

    from discovery.spec import Spec
    from tests.simulation.world import World

    Place = tuple[str, str, str]


def unit(world: World, rng: random.Random, instance_id: int) -> list[Spec]:
    """Return what is to be registered at once: several records, of several kinds."""
    specs: list[Spec] = [
        _endpoint(world.place(rng), rng, instance_id) for _ in range(rng.choice((0, 1, 2, 3)))
    ]
    if rng.random() < 0.15:
        world.count("channels")
        specs.append(_channel(world.place(rng), rng, instance_id))
    if not specs or rng.random() < 0.6:
        specs += _models(world, world.place(rng), rng)
    by_id: dict[Any, Spec] = {spec.id(instance_id): spec for spec in specs}
    return list(by_id.values())


def again(world: World, rng: random.Random, instance_id: int, spec: Spec) -> Spec:
    """Return what is to be registered under the same name, with something else in it."""
    match spec:
        case EndpointSpec():
            place = spec.namespace, spec.component, spec.endpoint
            return _endpoint(place, rng, instance_id)
        case EventChannelSpec():
            return replace(spec, transport=_address(rng))
        case ModelSpec(suffix=None):
            return _plain(world, (spec.namespace, spec.component, spec.endpoint), rng)
        case ModelSpec():
            return replace(spec, card={**spec.card, "note": _note(rng)})


def _endpoint(place: Place, rng: random.Random, instance_id: int) -> EndpointSpec:
    namespace, component, endpoint = place
    return EndpointSpec(
        namespace=namespace,
        component=component,
        endpoint=endpoint,
        transport={"tcp": f"{instance_id}.{_note(rng)}"},
    )


def _channel(place: Place, rng: random.Random, instance_id: int) -> EventChannelSpec:
    namespace, component, _ = place
    return EventChannelSpec(
        namespace=namespace,
        component=component,
        topic=rng.choice("tu"),
        transport=_address(rng),
        instance_id=instance_id,
    )


def _models(world: World, place: Place, rng: random.Random) -> list[Spec]:
    """Return a model, an adapter, or both, of one endpoint."""
    models: list[Spec] = []
    if rng.random() < 0.85:
        models.append(_plain(world, place, rng))
    if not models or rng.random() < 0.2:
        world.count("adapters")
        models.append(_adapter(world, place, rng))
    return models


def _plain(world: World, place: Place, rng: random.Random) -> ModelSpec:
    """Return a model, most often of the name that its endpoint has."""
    names = sorted({name for is_adapter, name, _ in _there(world, place) if not is_adapter})
    name = names[0] if names and rng.random() < 0.7 else rng.choice("ABC")
    card: dict[str, Any] = {"display_name": name, "note": _note(rng)}
    if rng.random() < 0.08:  # the same name on another base: some adapters do not fit it
        card["source_path"] = f"hub-{name}"
    return _model(place, card, None)


def _adapter(world: World, place: Place, rng: random.Random) -> ModelSpec:
    bases = sorted({base for _, _, base in _there(world, place)})
    base = bases[0] if bases and rng.random() < 0.7 else rng.choice("ABC")
    suffix = rng.choice("xy")
    card = {"display_name": f"{base}-{suffix}", "source_path": base, "note": _note(rng)}
    return _model(place, card, suffix)


def _model(place: Place, card: dict[str, Any], suffix: str | None) -> ModelSpec:
    namespace, component, endpoint = place
    return ModelSpec(
        namespace=namespace, component=component, endpoint=endpoint, card=card, suffix=suffix
    )


def _there(world: World, place: Place) -> list[tuple[bool, str, str]]:
    """Return the stances of the models that can be seen on an endpoint."""
    scope = ("models", *place)
    found = world.truth.line.moments[-1].visible.items()
    return [stance_of(key, entry.value) for key, entry in found if scope_of(key) == scope]


def _address(rng: random.Random) -> ZmqTransport:
    return ZmqTransport(endpoint=f"tcp://h:{1 + rng.randrange(10_000)}")


def _note(rng: random.Random) -> str:
    return str(rng.randrange(10_000))
