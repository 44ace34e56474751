"""Requests of clients, answered: bytes to registry calls and back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from discovery.budget import Budget
from discovery.chunks import Chunks
from discovery.errors import (
    DiscoveryError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
    error_to_wire,
)
from discovery.events import Cause, check_last_words
from discovery.fields import Fields, read_text
from discovery.ids import parse_id
from discovery.modelname import check_tenant
from discovery.names import shown
from discovery.operations import Operations
from discovery.reports import Reports
from discovery.sessions import caller_of
from discovery.specwire import spec_from_wire
from discovery.watchers import Watchers
from transports.codec import JSON
from transports.errors import TransportError
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from discovery.books import Books
    from discovery.ids import InstanceId
    from discovery.registry import Granted, Registry
    from discovery.replica import Replica
    from discovery.settings import WatchSettings
    from discovery.store import Store
    from transports.codec import Codec
    from transports.rpc import Reply

logger = logging.getLogger(__name__)

PROTOCOL = 1
_CATCH_UP_S = 2.0  # below a client's request timeout, so that it gets an answer, not a silence
_MAX_NAME = 200
_ROWS_A_CHUNK = 250
_CHUNK_BYTES = 256 << 10


class Service:
    """One handler for all requests, whatever they came by. Every request may be repeated safely."""

    def __init__(
        self,
        *,
        store: Store,
        replica: Replica,
        registry: Registry,
        is_recovering: Callable[[], bool],
        is_doubtful: Callable[[], bool],
        watch: WatchSettings,
        about: Mapping[str, object],
        now_ms: Callable[[], int],
        books: Books,
    ) -> None:
        self.watchers = Watchers()
        self._reports = Reports(store, replica, self.watchers)
        self._operations = Operations(registry, replica)
        self.answered = 0
        self.refused = 0
        self._store, self._replica, self._registry = store, replica, registry
        self._is_recovering, self._is_doubtful = is_recovering, is_doubtful
        self._about, self._now_ms = about, now_ms
        self._books = books
        self._chunks = Chunks(replica.feed, chunk_bytes=watch.chunk_bytes)
        self._budget = Budget(watch.snapshot_bytes_per_s)
        self._calls: Mapping[str, Callable[[Fields], Awaitable[dict[str, object]]]]
        self._calls = {
            "hello": self._hello,
            "grant": self._grant,
            "keep_alive": self._keep_alive,
            "revoke": self._revoke,
            "register": self._register,
            "unregister": self._unregister,
            "retain": self._retain,
            "remove": self._remove,
            "drain": self._drain,
            "status": self._status,
            **books.calls,
        }
        self._tables: Mapping[str, Callable[[float], Sequence[Mapping[str, object]]]]
        self._tables = {"leases": self._reports.leases, "watchers": self._reports.watchers}

    async def answer(self, data: bytes, reply: Reply, *, events: str) -> None:
        """Answer one request. `events` is the address that its client is told to listen to."""
        codec = JSON
        try:
            codec, value = _unpack(data)
            await self._answer(codec, Fields("request", value), reply, events)
            self.answered += 1
        except DiscoveryError as error:
            self._refuse(codec, reply, error)
        except Exception as error:  # a task's top: the peer is told, the daemon stays up
            logger.exception("request failed")
            self._refuse(codec, reply, InternalError(f"{type(error).__name__} in the daemon"))

    async def _answer(self, codec: Codec, fields: Fields, reply: Reply, events: str) -> None:
        op = fields.text("op")
        if op in ("sync", "list"):
            result = await self._sync(codec, fields, reply, is_stream=op == "sync")
        elif op in self._tables:
            fields.done()
            result = _send_rows(codec, reply, self._tables[op](self._now()))
        elif op in self._books.tables:
            await self._reach(fields)
            result = _send_rows(codec, reply, self._books.tables[op](fields))
        elif op in self._books.reads:
            await self._reach(fields)
            result = dict(self._books.reads[op](fields))
        elif op in self._books.works:
            await self._reach(fields)
            result = await self._books.works[op](fields)
        elif op in self._calls:
            result = await self._calls[op](fields)
        else:
            books = (*self._books.tables, *self._books.reads, *self._books.works)
            known = sorted((*self._calls, *self._tables, *books, "sync", "list"))
            raise InvalidArgumentError(
                f"request.op: expected one of {', '.join(known)}, got {shown(op)}"
            )
        if op == "hello":
            result["events"] = events
        reply(pack(codec, {"ok": result}))

    def _refuse(self, codec: Codec, reply: Reply, error: DiscoveryError) -> None:
        self.refused += 1
        logger.debug("request refused", extra={"code": error.code, "why": str(error)})
        try:
            answer = pack(codec, {"error": error_to_wire(error)})
        except TransportError:  # as when the text is longer than a frame
            short = InternalError(f"{type(error).__name__}, whose text cannot be sent")
            answer = pack(codec, {"error": error_to_wire(short)})
        reply(answer)

    # ---- calls

    async def _hello(self, fields: Fields) -> dict[str, object]:
        fields.text("client")
        protocol = fields.integer("protocol")
        fields.done()
        if protocol != PROTOCOL:
            raise InvalidArgumentError(f"protocol {protocol}: expected {PROTOCOL}")
        return {
            **self._about,
            "protocol": PROTOCOL,
            "epoch": self._store.epoch,
            "registry_id": self._store.registry_id,
            "revision": self._replica.mirror.revision,
        }

    async def _grant(self, fields: Fields) -> dict[str, object]:
        instance_id, token = fields.integer("instance_id", 1), fields.text("token")
        ttl_s = fields.number("ttl_s")
        fields.done()
        epoch = self._epoch()
        return _granted(epoch, await self._registry.grant(instance_id, ttl_s, token))

    async def _keep_alive(self, fields: Fields) -> dict[str, object]:
        instance_id, token = fields.integer("instance_id", 1), fields.text("token")
        fields.done()
        epoch = self._epoch()
        return _granted(epoch, await self._registry.keep_alive(instance_id, token))

    async def _revoke(self, fields: Fields) -> dict[str, object]:
        instance_id, token = fields.integer("instance_id", 1), fields.text("token")
        cause = fields.optional_text("cause") or Cause.UNREGISTERED
        detail = fields.optional_text("detail")
        fields.done()
        why = check_last_words("request", cause, detail)
        return {"revision": await self._registry.revoke(instance_id, token, why, detail)}

    async def _register(self, fields: Fields) -> dict[str, object]:
        caller = caller_of(fields)
        specs = fields.items("specs", spec_from_wire)
        tenant = check_tenant(fields.raw("tenant"))
        fields.done()
        epoch = self._epoch()
        return {"revision": await self._registry.register(caller, specs, tenant), "epoch": epoch}

    async def _unregister(self, fields: Fields) -> dict[str, object]:
        caller = caller_of(fields)
        ids = fields.items("ids", _read_id)
        detail = fields.optional_text("detail")
        fields.done()
        check_last_words("request", Cause.UNREGISTERED, detail)
        epoch = self._epoch()
        return {"revision": await self._registry.unregister(caller, ids, detail), "epoch": epoch}

    async def _retain(self, fields: Fields) -> dict[str, object]:
        caller = caller_of(fields)
        ids = fields.items("ids", _read_id)
        fields.done()
        epoch = self._epoch()
        return {"revision": await self._registry.retain(caller, ids), "epoch": epoch}

    async def _remove(self, fields: Fields) -> dict[str, object]:
        identity = _read_id("request.id", fields.raw("id"))
        fields.done()
        return {"revision": await self._operations.remove(identity)}

    async def _drain(self, fields: Fields) -> dict[str, object]:
        instance_id = fields.integer("instance_id", 1)
        fields.done()
        return {"removed": await self._operations.drain(instance_id)}

    async def _status(self, fields: Fields) -> dict[str, object]:
        fields.done()
        return {
            **self._about,
            **self._reports.status(self._now()),
            **await self._reports.backend(),
            "recovering": self._is_recovering(),
            "now_ms": self._now_ms(),
        }

    def _epoch(self) -> str:
        """Return the epoch to answer a change with; read before it is asked of the store.

        If that goes on to another epoch meanwhile, the client hears of it again with its renewals.
        """
        return self._replica.feed.epoch

    # ---- sync

    async def _sync(
        self, codec: Codec, fields: Fields, reply: Reply, *, is_stream: bool
    ) -> dict[str, object]:
        """Send the chunks of a backfill or snapshot, and return what ends them."""
        scope, min_revision = fields.scope("scope"), fields.integer("min_revision")
        epoch, since, client = None, 0, ""
        if is_stream:
            epoch, since = fields.optional_text("epoch"), fields.integer("since")
            client = fields.text("client")[:_MAX_NAME]
        self._books.check_scope(scope, check_tenant(fields.raw("tenant")))
        fields.done()
        arrived_at, same = self._now(), epoch == self._store.epoch
        await self._catch_up(max(min_revision, since) if same or epoch is None else 0)
        feed, now = self._replica.feed, self._now()
        commits = feed.backfill(scope, epoch, since) if is_stream else None
        chunks = (
            self._chunks.of_snapshot(scope, codec)
            if commits is None
            else self._chunks.of_backfill(commits, codec)
        )
        wait_s = self._budget.take(sum(map(len, chunks)), now) if chunks else 0.0
        if wait_s:
            raise ResourceExhaustedError("too many snapshots at once", retry_after_s=wait_s)
        if is_stream:
            self.watchers.seen(client, scope, feed.mirror.revision, now)
        for chunk in chunks:
            reply(chunk)
        return {
            "kind": "snapshot" if commits is None else "backfill",
            "chunks": len(chunks),
            "daemon": feed.daemon,
            "epoch": feed.epoch,
            "revision": feed.mirror.revision,
            "digest": feed.mirror.digest(scope),
            "recovering": self._is_recovering(),
            "doubtful": self._is_doubtful(),
            "age_s": self._store.age_s(),
            "time_s": arrived_at,
        }

    async def _reach(self, fields: Fields) -> None:
        """Wait for what the caller has seen already, as far as that was in this epoch."""
        epoch, revision = fields.optional_text("epoch"), fields.optional_integer("min_revision")
        await self._catch_up(revision or 0 if epoch == self._store.epoch else 0)

    async def _catch_up(self, revision: int) -> None:
        revision = max(revision, self._registry.answered)
        self._replica.drain()
        if self._replica.mirror.revision >= revision:
            return
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await self._replica.reached(revision)
        except TimeoutError:
            at = self._replica.mirror.revision
            raise UnavailableError(f"revision {revision} is not reached yet, only {at}") from None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _unpack(data: bytes) -> tuple[Codec, object]:
    try:
        return unpack(data)
    except TransportError as error:
        raise InvalidArgumentError(str(error)) from error


def _send_rows(
    codec: Codec, reply: Reply, rows: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """Send a table of any length as chunks that fit into frames; return what ends them."""
    runs = list(_runs(codec, rows))
    for number, run in enumerate(runs):
        reply(pack(codec, {"chunk": [number, len(runs)], "rows": run}))
    return {"chunks": len(runs)}


def _runs(
    codec: Codec, rows: Sequence[Mapping[str, object]]
) -> Iterator[Sequence[Mapping[str, object]]]:
    run: list[Mapping[str, object]] = []
    size = 0
    for row in rows:
        length = len(pack(codec, row))
        if run and (size + length > _CHUNK_BYTES or len(run) == _ROWS_A_CHUNK):
            yield run
            run, size = [], 0
        run.append(row)
        size += length
    if run:
        yield run


def _granted(epoch: str, granted: Granted) -> dict[str, object]:
    return {
        "ttl_s": granted.ttl_s,
        "renew_s": granted.renew_s,
        "draining": granted.is_draining,
        "since": granted.since,
        "epoch": epoch,
    }


def _read_id(where: str, value: object) -> InstanceId:
    text = read_text(where, value)
    try:
        return parse_id(text)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where} {shown(text)}: {error}") from error
