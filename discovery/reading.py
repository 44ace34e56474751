"""What daemons answer, read into what followers and lists hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from discovery.bookkeys import BookEntry, is_book_key
from discovery.errors import InvalidArgumentError, RecordError, UnavailableError
from discovery.fields import Fields
from discovery.messages import commit_from_wire, record_from_wire
from discovery.names import shown
from discovery.protocol import Commit, Item, ItemChange, SyncAnswer
from discovery.wire import decode_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.instance import Instance
    from discovery.link import Answer
    from discovery.protocol import Record


def read_item(record: Record) -> ItemChange:
    """Return what a follower holds of a record; one it cannot read is held without its instance."""
    if record.value is None:
        return ItemChange(record.key, None, record.cause, record.detail)
    instance: Instance | None
    try:
        if is_book_key(record.key):  # is followed as an instance is, and nobody takes it for one
            entry = BookEntry(record.key, record.value, record.revision)
            instance = cast("Instance", entry)
        else:
            instance = decode_record(record.key, record.value, revision=record.revision)
    except RecordError:
        instance = None
    return ItemChange(record.key, Item(record.key, record.revision, instance))


def answer_from_wire(number: int, answer: Answer) -> SyncAnswer[ItemChange]:
    """Return a daemon's answer to request `number`.

    Raises `UnavailableError` for one that cannot be read: it is as good as none.
    """
    try:
        return _read(number, answer)
    except InvalidArgumentError as error:
        raise UnavailableError(f"unreadable answer: {error}") from error


def rows_from_wire(answer: Answer) -> Sequence[Mapping[str, object]]:
    """Return the rows of a daemon's answer that is a table; raises as `answer_from_wire` does."""
    try:
        chunks = _in_order(answer.chunks, Fields("answer", answer.result).integer("chunks"))
        return [row for fields in chunks for row in fields.items("rows", _row)]
    except InvalidArgumentError as error:
        raise UnavailableError(f"unreadable answer: {error}") from error


def _row(where: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"{where}: expected a map, got {shown(value)}")
    return value


def _read(number: int, answer: Answer) -> SyncAnswer[ItemChange]:
    fields = Fields("answer", answer.result)
    kind = fields.text("kind")
    if kind not in ("snapshot", "backfill"):
        raise InvalidArgumentError(f"answer.kind: expected snapshot or backfill, got {shown(kind)}")
    is_snapshot = kind == "snapshot"
    chunks = _in_order(answer.chunks, fields.integer("chunks"))
    read = SyncAnswer(
        number=number,
        daemon=fields.text("daemon"),
        epoch=fields.text("epoch"),
        revision=fields.integer("revision"),
        digest=fields.integer("digest"),
        is_recovering=fields.flag("recovering"),
        is_doubtful=fields.flag("doubtful"),
        age_s=fields.number("age_s"),
        time_s=fields.number("time_s"),
        snapshot=_snapshot(chunks) if is_snapshot else None,
        commits=None if is_snapshot else _commits(chunks),
    )
    fields.done()
    return read


def _in_order(chunks: Sequence[object], count: int) -> Sequence[Fields]:
    """Return the chunks if each is here: they are numbered n of N, from 0."""
    read = [Fields("chunk", chunk) for chunk in chunks]
    numbers = [fields.raw("chunk") for fields in read]
    if len(numbers) != count or numbers != [[number, count] for number in range(count)]:
        raise InvalidArgumentError(f"answer.chunks: expected 0 to {count}, got {shown(numbers)}")
    return read


def _snapshot(chunks: Sequence[Fields]) -> Sequence[ItemChange]:
    changes: list[ItemChange] = []
    for fields in chunks:
        changes += fields.items("records", lambda where, v: read_item(record_from_wire(where, v)))
        fields.done()
    return changes


def _commits(chunks: Sequence[Fields]) -> Sequence[Commit[ItemChange]]:
    """Return the commits of all chunks; one that was spread over several is put together again."""
    commits: dict[int, list[ItemChange]] = {}
    for fields in chunks:
        part = fields.items("commits", lambda where, v: commit_from_wire(where, v, read_item))
        fields.done()
        for commit in part:
            commits.setdefault(commit.revision, []).extend(commit.changes)
    return [Commit(revision, changes) for revision, changes in commits.items()]
