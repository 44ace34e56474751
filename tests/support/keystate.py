"""Keys and records as judges read them, and what was true at each revision of an epoch."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from discovery.ids import ModelId
from discovery.instance import ModelInstance
from discovery.keys import format_key, parse_key
from discovery.wire import decode_record, encode_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from discovery.events import Cause
    from discovery.instance import Instance
    from discovery.names import Scope
    from discovery.store import Entry

    Stance = tuple[bool, str, str]


def _names(place: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("namespace", "component", "endpoint"), place, strict=True))


def model_key(place: tuple[str, str, str], owner: int) -> str:
    return format_key(ModelId(**_names(place), instance_id=owner))


@lru_cache(maxsize=100_000)
def value_of(key: str, text: str) -> bytes:
    """Return the record of a model under `key`; `text` is its name and a note, "A#7"."""
    identity = parse_key(key)
    assert identity is not None
    assert isinstance(identity, ModelId)
    name, _, rest = text.partition("#")
    return encode_record(
        ModelInstance(
            namespace=identity.namespace,
            component=identity.component,
            endpoint=identity.endpoint,
            instance_id=identity.instance_id,
            card={"display_name": name, "note": rest},
        )
    )


@lru_cache(maxsize=100_000)
def scope_of(key: str) -> Scope:
    identity = parse_key(key)
    assert identity is not None
    return identity.scope


@lru_cache(maxsize=100_000)
def instance_of(key: str, value: bytes) -> Instance:
    return decode_record(key, value)


@dataclass
class Moment:
    """The state after one revision: everything, and what of it may be seen."""

    at: float
    entries: Mapping[str, Entry]
    visible: Mapping[str, Entry]
    touched: AbstractSet[Scope] = frozenset()
    """The scopes, of every level, in which what may be seen is not what it was before."""
    causes: Mapping[str, Cause | None] = field(default_factory=dict)
    """Why each of the keys that were deleted was."""


@dataclass
class Line:
    """One epoch: its revisions and what was true at each."""

    revisions: list[int] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def at(self, revision: int) -> Moment:
        return self.moments[bisect_right(self.revisions, revision) - 1]

    def changed_after(self, revision: int, scope: Scope) -> float | None:
        """Return when `scope` first changed after `revision`, None if it did not."""
        for moment in self.moments[bisect_right(self.revisions, revision) :]:
            if scope in moment.touched:
                return moment.at
        return None

    def cause_of_removal(self, key: str, revision: int) -> Cause | None:
        """Return why a key was last deleted up to `revision`."""
        for moment in reversed(self.moments[: bisect_right(self.revisions, revision)]):
            if key in moment.causes:
                return moment.causes[key]
        return None


def within(entries: Mapping[str, Entry], scope: Scope) -> dict[str, Entry]:
    level = len(scope)
    return {key: e for key, e in entries.items() if scope_of(key)[:level] == scope}


def visible_of(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Say it again, slowly: a model is seen if it agrees with all made before it there."""
    visible: dict[str, Entry] = {}
    earlier: dict[Scope, list[Stance]] = {}
    for key, entry in sorted(entries.items(), key=lambda e: (e[1].created, e[0])):
        if scope_of(key)[0] == "models":
            stance, others = stance_of(key, entry.value), earlier.setdefault(scope_of(key), [])
            is_seen = all(agree(stance, other) for other in others)
            others.append(stance)
            if not is_seen:
                continue
        visible[key] = entry
    return visible


@lru_cache(maxsize=100_000)
def stance_of(key: str, value: bytes) -> Stance:
    """Return whether a model is an adapter, its name, and the base that it needs or is."""
    model = instance_of(key, value)
    assert isinstance(model, ModelInstance)
    return stance_of_model(model)


def stance_of_model(model: ModelInstance) -> Stance:
    """See `stance_of`."""
    base = model.card.get("source_path", model.display_name)
    is_adapter = model.suffix is not None or model.card.get("lora") is not None
    return is_adapter, model.display_name, str(base)


def agree(one: Stance, other: Stance) -> bool:
    """Say it again: plain models need one name, an adapter and anything else one base."""
    return one[2] == other[2] if one[0] or other[0] else one[1] == other[1]


def name_of(entry: Entry) -> str:
    """Return the display name of a model."""
    return stance_of(entry.key, entry.value)[1]
