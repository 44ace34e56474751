"""Follow one value per process out of the cards of a watch stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from discovery.events import Added, Event
from discovery.ids import ModelId
from discovery.instance import ModelInstance

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from discovery.ids import InstanceId

V = TypeVar("V")

_ABSENT: Final = object()


async def follow_field(
    stream: AsyncIterable[Event],
    extract: Callable[[ModelInstance], V],
    *,
    include_lora: bool = False,
) -> AsyncIterator[dict[int, V]]:
    """Yield the value of each process, by instance id, after each change of the whole.

    Nothing is yielded for an event that leaves every value as it was. When a process has several
    cards, its newest base card counts, else its newest adapter. What `extract` raises ends it.

    Args:
        stream: events of a `ModelQuery`; instances of other kinds are passed over.
        extract: takes a model, gives its value.
        include_lora: whether adapters count; else neither their coming nor their going does.
    """
    held: dict[int, dict[InstanceId, V]] = {}
    current: dict[int, V] = {}
    async for event in stream:
        identity = event.instance.id if isinstance(event, Added) else event.id
        of_process = held.setdefault(identity.instance_id, {})
        of_process.pop(identity, None)  # first, so that the newest is last
        model = event.instance if isinstance(event, Added) else None
        if isinstance(model, ModelInstance) and (include_lora or not model.is_lora):
            of_process[identity] = extract(model)
        if _settle(current, identity.instance_id, of_process):
            yield dict(current)
        if not of_process:
            del held[identity.instance_id]


def _settle(current: dict[int, V], instance_id: int, of_process: dict[InstanceId, V]) -> bool:
    """Bring one process's entry up to date; return whether that changed it."""
    if not of_process:
        return current.pop(instance_id, _ABSENT) is not _ABSENT
    newest_first = [*reversed(of_process.items())]
    bases = [value for identity, value in newest_first if _is_base(identity)]
    value = bases[0] if bases else newest_first[0][1]
    if instance_id in current and current[instance_id] == value:
        return False
    current[instance_id] = value
    return True


def _is_base(identity: InstanceId) -> bool:
    return isinstance(identity, ModelId) and identity.suffix is None
