"""Specs that tests register, short to write."""

from __future__ import annotations

from discovery.spec import EndpointSpec, ModelSpec


def endpoint(name: str = "generate", address: str = "10.0.0.7:9000/generate") -> EndpointSpec:
    return EndpointSpec(
        namespace="prod", component="vllm", endpoint=name, transport={"tcp": address}
    )


def model(
    display_name: str = "llama", name: str = "generate", suffix: str | None = None
) -> ModelSpec:
    return ModelSpec(
        namespace="prod",
        component="vllm",
        endpoint=name,
        card={"display_name": display_name},
        suffix=suffix,
    )
