"""What is registered and what happens to it, as rows of output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from discovery.events import Added, Event, Removed
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance
from discovery.recordfields import record_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.names import Generation

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "endpoints": ("id", "address", "device", "+revision"),
    "models": ("id", "model", "source", "lora", "+revision"),
    "channels": ("id", "transport", "address", "+revision"),
    "leases": ("id", "records", "ttl_s", "draining"),
    "watchers": ("client", "scope", "revision", "seen_s_ago"),
    "catalog": (
        *("key", "model_type", "backend", "task", "status", "artifact_path"),
        *("+base_model", "+created_at", "+updated_at", "+revision"),
    ),
    "artifacts": (
        *("name", "status", "footprint_bytes", "source", "detail"),
        *("+revision", "+installed_at", "+files", "+path"),
    ),
    "claims": (
        *("model_name", "provider", "status", "last_used_at", "message"),
        *("+owner", "+created_at", "+revision"),
    ),
}
"""What tables show of each kind."""


def row_of(instance: Instance, generation: Generation = "a") -> dict[str, Any]:
    """Return an instance as a row: what tables show, and the whole record under "record".

    Args:
        instance: what is registered.
        generation: form of an event channel's record, when it does not tell by itself.
    """
    row: dict[str, Any] = {"id": str(instance.id), "revision": instance.revision}
    match instance:
        case EndpointInstance():
            row |= {"address": next(iter(instance.transport.values()), None)}
            row |= {"device": instance.device_type}
        case ModelInstance():
            row |= {"model": instance.display_name, "source": instance.card.get("source_path")}
            row |= {"lora": instance.suffix}
        case EventChannelInstance():
            row |= {"transport": str(instance.transport.kind)}
            row |= {"address": instance.transport.address}
            generation = instance.generation or generation
    return {**row, "record": record_fields(instance, generation)}


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as a row: "event" is added, updated or removed."""
    match event:
        case Added():
            word = "updated" if event.is_update else "added"
            return {"event": word, **row_of(event.instance), "revision": event.revision}
        case Removed():
            row = {"event": "removed", "id": str(event.id), "revision": event.revision}
            return {**row, "cause": str(event.cause), "detail": event.detail}
