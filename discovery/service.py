"""Requests of clients, answered: bytes to registry calls and back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
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
from discovery.events import Cause
from discovery.fields import Fields, read_text
from discovery.ids import parse_id
from discovery.names import Kind, shown
from discovery.registry import Caller
from discovery.session_record import SessionRecord
from discovery.specwire import spec_from_wire
from discovery.watchers import Watchers
from transports.codec import JSON
from transports.errors import TransportError
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from discovery.registry import Registry
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
    ) -> None:
        self.watchers = Watchers()
        self.answered = 0
        self.refused = 0
        self._store, self._replica, self._registry = store, replica, registry
        self._is_recovering, self._is_doubtful = is_recovering, is_doubtful
        self._about = about
        self._chunks = Chunks(replica.feed, chunk_bytes=watch.chunk_bytes)
        self._budget = Budget(watch.snapshot_bytes_per_s)
        self._calls: Mapping[str, Callable[[Fields], Coroutine[object, object, dict[str, object]]]]
        self._calls = {
            "hello": self._hello,
            "grant": self._grant,
            "keep_alive": self._keep_alive,
            "revoke": self._revoke,
            "register": self._register,
            "unregister": self._unregister,
            "status": self._status,
        }
        self._tables: Mapping[str, Callable[[], Sequence[Mapping[str, object]]]]
        self._tables = {"leases": self._leases, "watchers": self._watchers}

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
            result = _send_rows(codec, reply, self._tables[op]())
        else:
            call = self._calls.get(op)
            if call is None:
                known = ", ".join(sorted((*self._calls, *self._tables, "sync", "list")))
                raise InvalidArgumentError(f"request.op: expected one of {known}, got {shown(op)}")
            result = await call(fields)
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
        granted = await self._registry.grant(instance_id, ttl_s, token)
        return {"ttl_s": granted.ttl_s, "renew_s": granted.renew_s}

    async def _keep_alive(self, fields: Fields) -> dict[str, object]:
        instance_id, token = fields.integer("instance_id", 1), fields.text("token")
        fields.done()
        granted = await self._registry.keep_alive(instance_id, token)
        return {"ttl_s": granted.ttl_s, "renew_s": granted.renew_s}

    async def _revoke(self, fields: Fields) -> dict[str, object]:
        instance_id, token = fields.integer("instance_id", 1), fields.text("token")
        fields.done()
        return {"revision": await self._registry.revoke(instance_id, token, Cause.UNREGISTERED)}

    async def _register(self, fields: Fields) -> dict[str, object]:
        caller = _caller(fields)
        specs = fields.items("specs", spec_from_wire)
        fields.done()
        return {"revision": await self._registry.register(caller, specs)}

    async def _unregister(self, fields: Fields) -> dict[str, object]:
        caller = _caller(fields)
        ids = fields.items("ids", lambda where, value: parse_id(read_text(where, value)))
        fields.done()
        return {"revision": await self._registry.unregister(caller, ids)}

    async def _status(self, fields: Fields) -> dict[str, object]:
        fields.done()
        mirror = self._replica.mirror
        counts: dict[str, int] = {}
        for scope, count in mirror.counts().items():
            counts[scope[0]] = counts.get(scope[0], 0) + count
        return {
            **self._about,
            "epoch": self._store.epoch,
            "revision": mirror.revision,
            "records": counts,
            "processes": sum(1 for _ in mirror.sessions()),
            "watchers": len(self.watchers.now(self._now())),
            "unreadable": dict(sorted(mirror.unreadable.items())[:100]),
            "recovering": self._is_recovering(),
            "store_age_s": self._store.age_s(),
        }

    def _watchers(self) -> Sequence[Mapping[str, object]]:
        now = self._now()
        return [
            {
                "client": watcher.client,
                "scope": list(watcher.scope),
                "revision": watcher.revision,
                "seen_s_ago": now - watcher.seen_at,
            }
            for watcher in self.watchers.now(now)
        ]

    def _leases(self) -> Sequence[Mapping[str, object]]:
        mirror = self._replica.mirror
        counts = Counter(entry.lease for kind in Kind for entry in mirror.under((kind.value,)))
        return [
            {
                "id": f"{entry.lease or 0:x}",
                "records": counts[entry.lease],
                "ttl_s": SessionRecord.decode(entry.key, entry.value).ttl_s,
            }
            for entry in mirror.sessions()
        ]

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
        fields.done()
        same = epoch == self._store.epoch
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
            "time_s": now,
        }

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
    runs = [rows[at : at + _ROWS_A_CHUNK] for at in range(0, len(rows), _ROWS_A_CHUNK)]
    for number, run in enumerate(runs):
        reply(pack(codec, {"chunk": [number, len(runs)], "rows": run}))
    return {"chunks": len(runs)}


def _caller(fields: Fields) -> Caller:
    return Caller(
        fields.integer("instance_id", 1), fields.text("token"), fields.integer("sequence", 1)
    )
