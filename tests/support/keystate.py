"""A small store for protocol tests: keys, leases, revisions, and all of its past."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from discovery.ids import EndpointId, ModelId
from discovery.instance import EndpointInstance, ModelInstance
from discovery.keys import format_key, parse_key
from discovery.protocol import Item, ItemChange, item_digest
from discovery.store import Batch, Change, Entry
from discovery.wire import decode_record, encode_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.events import Cause
    from discovery.instance import Instance
    from discovery.names import Scope
    from discovery.protocol import Record

FIRST_REVISION = 10


def _names(place: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("namespace", "component", "endpoint"), place, strict=True))


def endpoint_key(place: tuple[str, str, str], owner: int) -> str:
    return format_key(EndpointId(**_names(place), instance_id=owner))


def model_key(place: tuple[str, str, str], owner: int) -> str:
    return format_key(ModelId(**_names(place), instance_id=owner))


@lru_cache(maxsize=100_000)
def value_of(key: str, text: str) -> bytes:
    """Return the record under `key` that says `text`: the display name of a model."""
    identity = parse_key(key)
    assert identity is not None
    place = {"namespace": identity.namespace, "component": identity.component}
    if isinstance(identity, ModelId):
        name, _, rest = text.partition("#")
        return encode_record(
            ModelInstance(
                **place,
                endpoint=identity.endpoint,
                instance_id=identity.instance_id,
                card={"display_name": name, "note": rest},
            )
        )
    assert isinstance(identity, EndpointId)
    return encode_record(
        EndpointInstance(
            **place,
            endpoint=identity.endpoint,
            instance_id=identity.instance_id,
            transport={"tcp": text},
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


digest_of = lru_cache(maxsize=100_000)(item_digest)


def read(record: Record) -> ItemChange:
    """Return what a follower makes of a record."""
    if record.value is None:
        return ItemChange(record.key, None, record.cause)
    instance = instance_of(record.key, record.value)
    return ItemChange(record.key, Item(record.key, record.revision, instance))


@dataclass
class Moment:
    """The state after one revision: everything, and what of it may be seen."""

    at: float
    entries: Mapping[str, Entry]
    visible: Mapping[str, Entry]


@dataclass
class Line:
    """One epoch: its revisions and what was true at each."""

    revisions: list[int] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def at(self, revision: int) -> Moment:
        return self.moments[bisect_right(self.revisions, revision) - 1]

    def changed_after(self, revision: int, scope: Scope) -> float | None:
        """Return when `scope` first changed after `revision`, None if it did not."""
        start = bisect_right(self.revisions, revision)
        for before, after in zip(self.moments[start - 1 :], self.moments[start:], strict=False):
            if within(before.visible, scope) != within(after.visible, scope):
                return after.at
        return None


def within(entries: Mapping[str, Entry], scope: Scope) -> dict[str, Entry]:
    level = len(scope)
    return {key: e for key, e in entries.items() if scope_of(key)[:level] == scope}


def visible_of(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Say it again, slowly: a model is seen if all made before it on its endpoint have its name."""
    visible: dict[str, Entry] = {}
    names: dict[Scope, set[str]] = {}
    for key, entry in sorted(entries.items(), key=lambda e: (e[1].created, e[0])):
        if scope_of(key)[0] == "models":
            earlier = names.setdefault(scope_of(key), set())
            name = name_of(entry)
            is_seen = earlier <= {name}
            earlier.add(name)
            if not is_seen:
                continue
        visible[key] = entry
    return visible


def name_of(entry: Entry) -> str:
    model = instance_of(entry.key, entry.value)
    assert isinstance(model, ModelInstance)
    return model.display_name


class KeyState:
    """Leases, keys and epochs. `now` is the caller's; nothing here has a clock."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.epoch = ""
        self.leases: dict[int, float] = {}
        self.new_epoch(0.0)

    def new_epoch(self, now: float) -> None:
        self.epoch = f"epoch-{len(self.lines) + 1}"
        self.revision, self.entries, self.leases = FIRST_REVISION, {}, {}
        self.lines[self.epoch] = Line([FIRST_REVISION], [Moment(now, {}, {})])

    def restore(self, now: float, moments_back: int) -> dict[str, Entry]:
        """Lose the end of the line, as a restored backup does; return what had been there."""
        lost, line = self.entries, self.line
        at = max(0, len(line.moments) - 1 - moments_back)
        leases, moment, revision = self.leases, line.moments[at], line.revisions[at]
        self.new_epoch(now)
        self.leases, self.entries, self.revision = leases, dict(moment.entries), revision
        self.lines[self.epoch] = Line([revision], [replace(moment, at=now)])
        return lost

    @property
    def line(self) -> Line:
        return self.lines[self.epoch]

    def commit(
        self,
        now: float,
        step: int,
        texts: Mapping[str, str | None],
        *,
        owner: int | None = None,
        cause: Cause | None = None,
    ) -> Batch | None:
        """Write or (None) delete; returns what became of it, None if nothing changed."""
        texts = {k: t for k, t in texts.items() if t is not None or k in self.entries}
        if not texts:
            return None
        self.revision += step
        entries = dict(self.entries)
        changes: list[Change] = []
        for key, text in texts.items():
            old = entries.pop(key, None)
            entry = None
            if text is not None:
                created = old.created if old else self.revision
                entry = Entry(key, value_of(key, text), self.revision, created, owner)
                entries[key] = entry
            changes.append(Change(key, entry, cause if entry is None else None))
        self.entries = entries
        self.line.revisions.append(self.revision)
        self.line.moments.append(Moment(now, entries, visible_of(entries)))
        return Batch(self.revision, tuple(changes))

    def keys_of(self, owner: int) -> list[str]:
        return [key for key, entry in self.entries.items() if entry.lease == owner]
