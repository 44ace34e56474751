"""Records that are out of the registry but not yet out of sight. Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.identity import identity_from_card, is_compatible
from discovery.instance import ModelInstance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.identity import ModelIdentity
    from discovery.names import Scope
    from discovery.protocol import Item

    Stance = tuple[Scope, ModelIdentity]


def stance_of(item: Item) -> Stance | None:
    """Return the endpoint and identity of a model, None for anything else."""
    model = item.instance
    if not isinstance(model, ModelInstance):
        return None
    endpoint = (model.kind.value, model.namespace, model.component, model.endpoint)
    return endpoint, identity_from_card(model.card, model.suffix)


class Held:
    """What is held, by key, and so that a model's rivals are found without looking at all of it."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._models: dict[Scope, dict[ModelIdentity, dict[str, None]]] = {}

    @property
    def items(self) -> Mapping[str, Item]:
        """The records by key, in the order in which they went."""
        return self._items

    def put(self, item: Item) -> None:
        """Hold a record that is not held yet."""
        self._items[item.key] = item
        stance = stance_of(item)
        if stance:
            endpoint, identity = stance
            self._models.setdefault(endpoint, {}).setdefault(identity, {})[item.key] = None

    def pop(self, key: str) -> Item | None:
        """Let go of a record and return it, None if it is not held."""
        item = self._items.pop(key, None)
        stance = stance_of(item) if item else None
        if stance:
            endpoint, identity = stance
            on_endpoint = self._models[endpoint]
            del on_endpoint[identity][key]
            if not on_endpoint[identity]:
                del on_endpoint[identity]
            if not on_endpoint:
                del self._models[endpoint]
        return item

    def rivals_of(self, item: Item) -> list[str]:
        """Return the keys of the held models that contradict `item` on its endpoint."""
        stance = stance_of(item)
        on_endpoint = self._models.get(stance[0]) if stance else None
        if not stance or not on_endpoint:
            return []
        return [
            key
            for identity, keys in on_endpoint.items()
            if not is_compatible(stance[1], identity)
            for key in keys
        ]
