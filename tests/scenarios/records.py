"""Records as stories write them: where, then what.

endpoints/prod/vllm/generate 10.0.0.1:9000
models/prod/vllm/generate qwen
models/prod/vllm/generate qwen v2                     with a note on its card
models/prod/vllm/generate/french qwen-fr on qwen      an adapter, whose base is qwen
channels/prod/vllm/kv-events 10.0.0.1:5557
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from discovery.eventtransport import ZmqTransport
from discovery.ids import parse_id
from discovery.instance import EndpointInstance, EventChannelInstance, ModelInstance
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec

if TYPE_CHECKING:
    from discovery.ids import InstanceId
    from discovery.instance import Instance
    from discovery.spec import Spec

_ADDRESS = "10.0.0.1:9000"


def specs_from_text(text: str, instance_id: int) -> list[Spec]:
    """Return the specs of a unit, whose records are separated by commas."""
    return [spec_from_text(item.strip(), instance_id) for item in text.split(",")]


def spec_from_text(text: str, instance_id: int) -> Spec:
    """Return the spec of one record."""
    where, _, what = text.partition(" ")
    kind, namespace, component, name, *suffix = where.split("/")
    if kind == "endpoints":
        return EndpointSpec(
            namespace=namespace,
            component=component,
            endpoint=name,
            transport={"tcp": what or _ADDRESS},
        )
    if kind == "channels":
        return EventChannelSpec(
            namespace=namespace,
            component=component,
            topic=name,
            transport=ZmqTransport(endpoint=f"tcp://{what or _ADDRESS}"),
            instance_id=instance_id,
        )
    return ModelSpec(
        namespace=namespace,
        component=component,
        endpoint=name,
        card=_card(what),
        suffix=suffix[0] if suffix else None,
    )


def _card(what: str) -> dict[str, str]:
    names, _, base = what.partition(" on ")
    display_name, _, note = names.partition(" ")
    fields = {"display_name": display_name, "source_path": base, "note": note}
    return {field: text for field, text in fields.items() if text}


def id_from_text(where: str, instance_id: int) -> InstanceId:
    """Return the identity that the record there has under an instance id."""
    kind, namespace, component, name, *suffix = where.split("/")
    path = [kind, namespace, component, name, f"{instance_id:x}", *suffix]
    return parse_id("/".join(path))


def text_of(instance: Instance) -> str:
    """Return which record it is, and what it says."""
    return f"{instance.id} {_value_of(instance)}"


def _value_of(instance: Instance) -> str:
    match instance:
        case EndpointInstance():
            return next(iter(instance.transport.values()))
        case ModelInstance():
            return f"{instance.display_name} {instance.card.get('note', '')}".rstrip()
        case EventChannelInstance():
            return str(instance.transport.address).removeprefix("tcp://")
        case _:
            assert_never(instance)
