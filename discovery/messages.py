"""EVENTs, BEATs and parts of answers as plain values, and back. Sans-I/O.

A record travels as [key, revision, JSON text or null, cause or null], and [key, revision, null,
cause, detail] when there is one: its text untouched, so that fields this version does not know pass
through, and one record that cannot be read spoils no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError
from discovery.events import Cause
from discovery.fields import Fields, read_scope
from discovery.names import shown
from discovery.protocol import Beat, Commit, Event, ItemChange, Record, ScopeHead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EVENT_TOPIC = "e/"
BEAT_TOPIC = "b/"

_HEAD_FIELDS = 3
_MAX_PARTS = 1 << 20


def event_topic(codec: str, scope: Sequence[str]) -> str:
    """Return the topic of a scope's EVENTs, the start of the topics of all scopes within."""
    return f"{EVENT_TOPIC}{codec}/{'/'.join(scope)}/"


def beat_topic(codec: str) -> str:
    """Return the topic of BEATs."""
    return f"{BEAT_TOPIC}{codec}/"


def record_to_wire(record: Record) -> list[object]:
    """Return the list that `record_from_wire` reads."""
    text = None if record.value is None else record.value.decode()
    values = [record.key, record.revision, text, record.cause]
    return values if record.detail is None else [*values, record.detail]


def record_from_wire(where: str, value: object) -> Record:
    """Return the record of a message's list."""
    match value:
        case [str(key), revision, str(text), None]:
            return Record(key, read_integer(where, revision), _bytes_of(where, text))
        case [str(key), revision, None, cause]:
            return Record(key, read_integer(where, revision), None, read_cause(where, cause))
        case [str(key), revision, None, cause, str(detail)]:
            why = read_cause(where, cause)
            return Record(key, read_integer(where, revision), None, why, detail)
        case _:
            expected = "[key, revision, text or null, cause or null] and detail, if there is one"
            raise InvalidArgumentError(f"{where}: expected {expected}, got {shown(value)}")


def read_cause(where: str, value: object) -> Cause | None:
    """Return the cause that a text names, None for null; RESYNC for one of a newer version."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{where}: expected a cause, got {shown(value)}")
    return Cause(value) if value in tuple(Cause) else Cause.RESYNC


def commit_to_wire(commit: Commit[Record]) -> list[object]:
    """Return the list that `commit_from_wire` reads."""
    return [commit.revision, [record_to_wire(record) for record in commit.changes]]


def commit_from_wire(
    where: str, value: object, read: Callable[[Record], ItemChange]
) -> Commit[ItemChange]:
    """Return the commit of a message's list."""
    match value:
        case [revision, list(records)]:
            changes = [read(record_from_wire(where, item)) for item in records]
            return Commit(read_integer(where, revision), changes)
        case _:
            raise InvalidArgumentError(f"{where}: expected [revision, records], got {shown(value)}")


def event_to_wire(event: Event[Record]) -> dict[str, object]:
    """Return the map that `event_from_wire` reads."""
    return {
        "daemon": event.daemon,
        "epoch": event.epoch,
        "revision": event.revision,
        "scope": list(event.scope),
        "prev": list(event.prev),
        "parts": list(event.parts),
        "part": event.part,
        "doubtful": event.is_doubtful,
        "changes": [record_to_wire(record) for record in event.changes],
    }


def event_from_wire(value: object, read: Callable[[Record], ItemChange]) -> Event[ItemChange]:
    """Return the EVENT of a map; `read` turns each record into what a follower holds."""
    fields = Fields("event", value)
    event = Event(
        daemon=fields.text("daemon"),
        epoch=fields.text("epoch"),
        revision=fields.integer("revision"),
        scope=fields.scope("scope"),
        prev=tuple(fields.items("prev", read_integer)),
        parts=tuple(fields.items("parts", read_integer)),
        part=fields.integer("part"),
        is_doubtful=fields.flag("doubtful"),
        changes=fields.items("changes", lambda where, v: read(record_from_wire(where, v))),
    )
    levels = len(event.scope)
    if len(event.prev) != levels or len(event.parts) != levels:
        raise InvalidArgumentError(
            f"event: {len(event.prev)} of prev and {len(event.parts)} of parts, "
            f"expected {levels} of each, one a level"
        )
    fields.done()
    return event


def beat_to_wire(beat: Beat) -> dict[str, object]:
    """Return the map that `beat_from_wire` reads."""
    return {
        "daemon": beat.daemon,
        "epoch": beat.epoch,
        "number": beat.number,
        "head": beat.head,
        "window": beat.window,
        "scopes": [[list(h.scope), h.head, h.digest] for h in beat.scopes],
        "recovering": beat.is_recovering,
        "age_s": beat.age_s,
        "time_s": beat.time_s,
        "part": beat.part,
        "parts": beat.parts,
    }


def beat_from_wire(value: object) -> Beat:
    """Return the BEAT of a map."""
    fields = Fields("beat", value)
    beat = Beat(
        daemon=fields.text("daemon"),
        epoch=fields.text("epoch"),
        number=fields.integer("number"),
        head=fields.integer("head"),
        window=fields.integer("window"),
        scopes=fields.items("scopes", _read_head),
        is_recovering=fields.flag("recovering"),
        age_s=fields.number("age_s"),
        time_s=fields.number("time_s"),
        part=fields.integer("part"),
        parts=fields.integer("parts", 1, _MAX_PARTS),
    )
    fields.done()
    return beat


def goodbye_to_wire(daemon: str) -> dict[str, object]:
    """Return the map that says, on the topic of BEATs, that a daemon is about to stop."""
    return {"daemon": daemon, "leaving": True}


def is_goodbye(value: object, daemon: str) -> bool:
    """Say whether a map on the topic of BEATs says that `daemon` is about to stop."""
    return value == goodbye_to_wire(daemon)


def read_integer(where: str, value: object) -> int:
    """Return an unsigned integer that is an item of a list."""
    if type(value) is not int or value < 0:
        raise InvalidArgumentError(f"{where}: expected unsigned integers, got {shown(value)}")
    return value


def _bytes_of(where: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{where}: expected a text that UTF-8 can carry") from error


def _read_head(where: str, value: object) -> ScopeHead:
    if not isinstance(value, list) or len(value) != _HEAD_FIELDS:
        raise InvalidArgumentError(f"{where}: expected [scope, head, digest], got {shown(value)}")
    scope, head, digest = value
    return ScopeHead(
        read_scope(where, scope), read_integer(where, head), read_integer(where, digest)
    )
