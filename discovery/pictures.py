"""A view that changes, as dicts that do not. Sans-I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.ids import InstanceId
    from discovery.instance import Instance


class Pictures:
    """A growing view, handed out as mappings that never change afterwards."""

    def __init__(self) -> None:
        self._picture: dict[InstanceId, Instance] = {}
        self._shown: Mapping[InstanceId, Instance] = MappingProxyType(self._picture)
        self._changes: dict[InstanceId, Instance | None] = {}

    def change(self, identity: InstanceId, instance: Instance | None) -> None:
        """Put an instance in the next picture, or with None take it out."""
        if instance is None and identity not in self._picture:
            self._changes.pop(identity, None)  # else who never looks would keep all that ever went
        else:
            self._changes[identity] = instance

    def get(self) -> Mapping[InstanceId, Instance]:
        """Return the picture with all changes so far; copied only when there were some."""
        if self._changes:
            picture = dict(self._picture)
            for identity, instance in self._changes.items():
                if instance is None:
                    picture.pop(identity, None)
                else:
                    picture[identity] = instance
            self._picture, self._changes = picture, {}
            self._shown = MappingProxyType(picture)
        return self._shown
