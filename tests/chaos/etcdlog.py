"""Every revision of an etcd as etcd tells it: read past our store, across restarts."""

from __future__ import annotations

import threading
from itertools import groupby
from operator import attrgetter
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

import grpc

from discovery.clock import monotonic_s
from discovery.events import Cause
from discovery.store import Batch, Change
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import WATCH
from discovery.stores.etcd.keyspace import Keyspace, Why, causes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PAUSE_S = 0.1
_NOT_SAID = Why()


class EtcdLog:
    """Follows an etcd from its first revision on a thread of its own, while entered."""

    def __init__(self, endpoint: str) -> None:
        self.batches: list[tuple[float, Batch]] = []
        self.epochs: list[tuple[int, str]] = []
        """Each epoch that was begun, and at which revision."""
        self.revision = 0
        self._endpoint, self._keys = endpoint, Keyspace("")
        self._ends: dict[int, Why] = {}
        self._is_over = threading.Event()
        self._calls: SimpleQueue[pb.WatchRequest | None] = SimpleQueue()
        self._channel: grpc.Channel | None = None
        self._thread = threading.Thread(target=self._follow, name="log of etcd")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        while self._thread.is_alive():  # it may just be opening another channel
            if self._channel:
                self._channel.close()
            self._calls.put(None)
            self._thread.join(0.1)

    def _follow(self) -> None:
        while not self._is_over.is_set():
            try:
                self._receive()
            except (grpc.RpcError, ValueError):  # it is away; or the channel was closed
                self._is_over.wait(_PAUSE_S)

    def _receive(self) -> None:
        self._calls.put(None)  # ends the requests of the call before
        self._calls = calls = SimpleQueue()
        options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.enable_retries", 0)]
        self._channel = grpc.insecure_channel(self._endpoint, options=options)
        watch = self._channel.stream_stream(
            WATCH.path, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )
        create = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=self.revision + 1)
        calls.put(pb.WatchRequest(create_request=create))
        with self._channel:
            for answer in watch(iter(calls.get, None)):
                if answer.canceled:
                    raise AssertionError(f"a revision is lost: {answer.cancel_reason}")
                for revision, events in groupby(answer.events, attrgetter("kv.mod_revision")):
                    self._take(revision, events)

    def _take(self, revision: int, events: Iterable[pb.Event]) -> None:
        """See discovery/stores/etcd/keyspace.py for what is said where."""
        keys, said, end = self._keys, {}, None
        changed = []
        for event in events:
            name = keys.name(event.kv.key)
            if name is None:
                continue
            is_gone = event.type == pb.Event.DELETE
            if is_gone and (lease := keys.ended_lease(name)) is not None:
                end = self._ends.pop(lease, None) or end or Why(Cause.LEASE_EXPIRED)
            elif event.kv.key == keys.head:
                said = causes_of(event.kv.value)
            elif event.kv.key == keys.epoch:
                self.epochs.append((revision, event.kv.value.decode()))
            elif not is_gone and (found := keys.why_of(name, event.kv.value)):
                self._ends[found[0]] = found[1]
            if not keys.is_books(name):
                changed.append((name, event))
        changes = tuple(self._change(name, event, said, end) for name, event in changed)
        self.batches.append((monotonic_s(), Batch(revision, changes)))
        self.revision = revision

    def _change(
        self, name: str, event: pb.Event, said: Mapping[str, Why], end: Why | None
    ) -> Change:
        if event.type == pb.Event.DELETE:
            why = said.get(name) or end or _NOT_SAID
            return Change(name, None, why.cause, why.detail)
        return Change(name, self._keys.entry(name, event.kv))
