"""What lies where in etcd, and how operations, guards and events are said there. Sans-I/O.

    {prefix}v1/… session/… models/… …    the store's keys, as they are
    {prefix}discoveryd/epoch             the epoch
    {prefix}discoveryd/registry          the registry's id
    {prefix}discoveryd/head              rewritten by every commit: what it was, and why it deletes
    {prefix}discoveryd/ends/{lease}      under a lease that is being revoked: why

The last four are bookkeeping, which users of the store never see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discovery.errors import InvalidArgumentError
from discovery.events import Cause
from discovery.keys import SESSION_PREFIX
from discovery.store import AtRevision, Delete, Entry, NoPutAfter, Op, Put
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.keytree import check_prefix
from discovery.wire import decode_object, encode_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from discovery.store import Guard

_OURS = ("discoveryd/", "models/", "pending/", "session/", "v1/")
_BOOKS = "discoveryd/"
_ENDS = "discoveryd/ends/"


@dataclass(frozen=True, slots=True)
class Why:
    """Why something was deleted, as far as the deleter said."""

    cause: Cause | None = None
    detail: str | None = None


NOT_SAID = Why()


class Keyspace:
    """The keys of one registry in an etcd that others may use as well."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.epoch = f"{prefix}{_BOOKS}epoch".encode()
        self.registry = f"{prefix}{_BOOKS}registry".encode()
        self.head = f"{prefix}{_BOOKS}head".encode()

    def key(self, key: str) -> bytes:
        """Return the key in etcd of a key of the store."""
        return f"{self.prefix}{key}".encode()

    def name(self, key: bytes) -> str | None:
        """Return the key of the store that a key in etcd is, None for one of somebody else's.

        One that is no text becomes one that is, and that no record can have.
        """
        name = key.decode(errors="backslashreplace").removeprefix(self.prefix)
        return name if self.prefix or name.startswith(_OURS) else None

    def is_books(self, name: str) -> bool:
        """Say whether this is bookkeeping."""
        return name.startswith(_BOOKS)

    def range_of(self, prefix: str) -> tuple[bytes, bytes]:
        """Return first key and end of all keys under a prefix of the store.

        With no prefix anywhere it also covers what lies between; see `name`.
        """
        start = self.prefix + check_prefix(prefix)
        if not start:
            return _OURS[0].encode(), _after(_OURS[-1].encode())
        return start.encode(), _after(start.encode())

    # ---- what is written

    def operation(self, op: Op) -> pb.RequestOp:
        """Return the request for an operation."""
        if isinstance(op, Put):
            put = pb.PutRequest(key=self.key(op.key), value=op.value, lease=op.lease or 0)
            return pb.RequestOp(request_put=put)
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=self.key(op.key)))

    def comparisons(self, guard: Guard) -> list[pb.Compare]:
        """Return the comparisons for a guard. A key that is absent has the revision 0."""
        match guard:
            case AtRevision(key, revision):
                return [
                    pb.Compare(
                        key=self.key(key),
                        target=pb.Compare.MOD,
                        result=pb.Compare.EQUAL,
                        mod_revision=revision,
                    )
                ]
            case NoPutAfter(prefix, revision):
                return [
                    pb.Compare(
                        key=start,
                        range_end=end,
                        target=pb.Compare.MOD,
                        result=pb.Compare.LESS,
                        mod_revision=revision + 1,
                    )
                    for start, end in self._without_books(prefix)
                ]

    def _without_books(self, prefix: str) -> list[tuple[bytes, bytes]]:
        """Return the ranges of a prefix around the bookkeeping."""
        start, end = self.range_of(prefix)
        books = self.key(_BOOKS)
        around = [(start, books), (_after(books), end)] if not prefix else [(start, end)]
        return [each for each in around if each[0] < each[1]]

    def ends(self, lease_id: int, why: Why) -> Put:
        """Return the operation that says why a lease is going to be revoked."""
        said = {"cause": why.cause, "detail": why.detail}
        return Put(f"{_ENDS}{lease_id:x}", encode_object(said), lease_id)

    # ---- what is read

    def entry(self, name: str, kv: pb.KeyValue) -> Entry:
        """Return what etcd says of a key."""
        return Entry(name, kv.value, kv.mod_revision, kv.create_revision, kv.lease or None)

    def entries(self, kvs: Iterable[pb.KeyValue], prefix: str) -> list[Entry]:
        """Return those that are the store's and under a prefix, without the bookkeeping."""
        found = ((self.name(kv.key), kv) for kv in kvs)
        return [
            self.entry(name, kv)
            for name, kv in found
            if name is not None and name.startswith(prefix) and not self.is_books(name)
        ]

    def why_of(self, name: str, value: bytes) -> tuple[int, Why] | None:
        """Return which lease is about to end and why, if that is what a key tells."""
        if not name.startswith(_ENDS):
            return None
        try:
            said = decode_object(value)
            return int(name.removeprefix(_ENDS), 16), _why(said)
        except (InvalidArgumentError, ValueError):  # not one of ours
            return None

    def ended_lease(self, name: str) -> int | None:
        """Return which lease has ended if the deletion of a key tells it."""
        for prefix in (_ENDS, SESSION_PREFIX):
            if name.startswith(prefix):
                try:
                    return int(name.removeprefix(prefix), 16)
                except ValueError:
                    return None
        return None


def head_value(mark: str, ops: Iterable[Op]) -> bytes:
    """Return what a commit writes into the head: a mark of its own, and why it deletes what."""
    deletes = [op for op in ops if isinstance(op, Delete) and op.cause]
    said: dict[str, object] = {"mark": mark}
    if deletes:
        said["causes"] = {op.key: op.cause for op in deletes}
    if any(op.detail for op in deletes):
        said["details"] = {op.key: op.detail for op in deletes if op.detail}
    return encode_object(said)


def causes_of(value: bytes) -> Mapping[str, Why]:
    """Read back what `head_value` wrote; what is not known here is not told."""
    try:
        head = decode_object(value)
        causes: dict[str, Any] = head.get("causes", {})
        details: dict[str, Any] = head.get("details", {})
        return {
            key: _why({"cause": cause, "detail": details.get(key)}) for key, cause in causes.items()
        }
    except (InvalidArgumentError, AttributeError):
        return {}


def _why(said: Mapping[str, Any]) -> Why:
    cause, detail = said.get("cause"), said.get("detail")
    known = Cause(cause) if cause in tuple(Cause) else None
    return Why(known, detail if isinstance(detail, str) else None)


def _after(prefix: bytes) -> bytes:
    """Return the first key that is above all with a prefix, whose last byte is a slash."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
