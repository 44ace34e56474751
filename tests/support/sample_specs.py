"""Specs for the tests of the registry: an endpoint, models by identity, an event channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec, ZmqTransport

if TYPE_CHECKING:
    from discovery.identity import ModelIdentity


def endpoint(name: str = "generate", *, address: str = "10.0.0.7:9000/generate") -> EndpointSpec:
    return EndpointSpec(
        namespace="prod", component="vllm", endpoint=name, transport={"tcp": address}
    )


def model(
    display_name: str,
    *,
    source: str | None = None,
    suffix: str | None = None,
    on: str = "generate",
    **more: str,
) -> ModelSpec:
    card = {"display_name": display_name, **more}
    if source is not None:
        card["source_path"] = source
    return ModelSpec(namespace="prod", component="vllm", endpoint=on, card=card, suffix=suffix)


def model_of(identity: ModelIdentity) -> ModelSpec:
    suffix = "adapter" if identity.is_lora else None
    return model(identity.display_name, source=identity.source_path, suffix=suffix)


def channel(topic: str = "kv-events", *, instance_id: int | None = 77) -> EventChannelSpec:
    return EventChannelSpec(
        namespace="prod",
        component="vllm",
        topic=topic,
        transport=ZmqTransport(endpoint="tcp://10.0.0.7:5557"),
        instance_id=instance_id,
    )
