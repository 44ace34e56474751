"""Answers to `sync` as chunks of bytes; while a scope rests, its snapshot is encoded only once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from discovery.messages import commit_to_wire, record_to_wire
from discovery.protocol import Commit
from transports.codec import JSON
from transports.frame import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from discovery.feed import Feed
    from discovery.names import Scope
    from discovery.protocol import Record
    from transports.codec import Codec

_CACHE_BYTES = 64 << 20
_RECORD_OVERHEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The chunks of a scope as it was at (epoch, revision of its last change)."""

    position: tuple[str, int]
    chunks: Sequence[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))


class Chunks:
    """Encodes what a feed has to say; a record is in one chunk, a commit may be in several.

    Args:
        feed: what is said.
        chunk_bytes: weight of a chunk, unless one record alone is heavier.
        cache_bytes: what the encoded snapshots that are kept may weigh.
    """

    def __init__(self, feed: Feed, *, chunk_bytes: int, cache_bytes: int = _CACHE_BYTES) -> None:
        self._feed = feed
        self._chunk_bytes, self._cache_bytes = chunk_bytes, cache_bytes
        self._cache: OrderedDict[tuple[Scope, str], _Snapshot] = OrderedDict()
        self._cached_bytes = 0

    def of_snapshot(self, scope: Scope, codec: Codec) -> Sequence[bytes]:
        """Return messages with the visible records of `scope` now, none when it is empty."""
        key, position = (scope, codec.name), (self._feed.epoch, self._feed.head(scope))
        kept = self._cache.get(key)
        if kept and kept.position == position:
            self._cache.move_to_end(key)
            return kept.chunks
        records = ((0, record) for record in self._feed.snapshot(scope))
        runs = list(self._runs(records, codec))
        chunks = [
            _chunk(codec, n, len(runs), {"records": [record_to_wire(r) for _, r in run]})
            for n, run in enumerate(runs)
        ]
        self._drop(key)
        if chunks:  # empty scopes are without number, and cost nothing
            self._keep(key, _Snapshot(position, chunks))
        return chunks

    def of_backfill(self, commits: Iterable[Commit[Record]], codec: Codec) -> Sequence[bytes]:
        """Return messages with `commits` in order, none when there are none."""
        records = ((c.revision, record) for c in commits for record in c.changes)
        runs = list(self._runs(records, codec))
        return [
            _chunk(codec, n, len(runs), {"commits": [commit_to_wire(c) for c in _commits(run)]})
            for n, run in enumerate(runs)
        ]

    def _runs(
        self, records: Iterable[tuple[int, Record]], codec: Codec
    ) -> Iterable[list[tuple[int, Record]]]:
        # quotes of JSON inside JSON text double at worst
        limit = self._chunk_bytes // 2 if codec is JSON else self._chunk_bytes
        run: list[tuple[int, Record]] = []
        weight = 0
        for revision, record in records:
            size = _RECORD_OVERHEAD_BYTES + len(record.key) + len(record.value or b"")
            if run and weight + size > limit:
                yield run
                run, weight = [], 0
            run.append((revision, record))
            weight += size
        if run:
            yield run

    def _keep(self, key: tuple[Scope, str], snapshot: _Snapshot) -> None:
        self._cache[key] = snapshot
        self._cached_bytes += snapshot.size
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            self._drop(next(iter(self._cache)))

    def _drop(self, key: tuple[Scope, str]) -> None:
        if key in self._cache:
            self._cached_bytes -= self._cache.pop(key).size


def _chunk(codec: Codec, number: int, count: int, content: dict[str, object]) -> bytes:
    return pack(codec, {"chunk": [number, count], **content})


def _commits(run: Sequence[tuple[int, Record]]) -> Iterable[Commit[Record]]:
    for revision, records in groupby(run, key=itemgetter(0)):
        yield Commit(revision, [record for _, record in records])
