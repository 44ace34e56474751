"""Drives the followers of a connection: one for each scope, shared by all streams of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from discovery.clock import monotonic_s
from discovery.errors import (
    DiscoveryError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from discovery.followed import Followed
from discovery.follower import Follower, FollowerLimits
from discovery.messages import (
    BEAT_TOPIC,
    beat_from_wire,
    beat_topic,
    event_from_wire,
    event_topic,
    is_goodbye,
)
from discovery.reading import answer_from_wire, read_item
from discovery.view import Shown
from transports.errors import TransportError
from transports.frame import unpack

if TYPE_CHECKING:
    import random

    from discovery.connection import Connection
    from discovery.followed import Sink
    from discovery.link import Link
    from discovery.names import Scope
    from discovery.protocol import SyncRequest

logger = logging.getLogger(__name__)


class Upstreams:
    """Every scope that somebody watches through one connection. Lives on the I/O thread.

    Args:
        client: this process's name, shown to operators.
        codec: name of the codec in which EVENTs and BEATs are heard.
        sync_timeout_s: seconds without a part of an answer after which a sync has failed, and in
            which a subscription must be in effect.
        rng: jitters retries.
        group: where requests run; none of them ever fails it.
        tenant: whose part of the catalog may be followed, besides what is everybody's.
    """

    def __init__(
        self,
        *,
        client: str,
        codec: str,
        sync_timeout_s: float,
        rng: random.Random,
        group: asyncio.TaskGroup,
        tenant: str | None = None,
    ) -> None:
        self.rejected = 0
        self._client, self._codec, self._tenant = client, codec, tenant
        self._limits, self._sync_timeout_s = FollowerLimits(), sync_timeout_s
        self._rng, self._group = rng, group
        self._by_scope: dict[Scope, Followed] = {}
        self._connection: Connection | None = None
        self._link: Link | None = None
        self._daemon = ""
        self._end: DiscoveryError | None = None

    def use(self, connection: Connection) -> None:
        """Say which connection carries the syncs."""
        self._connection = connection

    # ---- streams

    def attach(self, scope: Scope, sink: Sink) -> None:
        """Give `sink` all that is shown in `scope`, and then every change."""
        upstream = self._by_scope.get(scope)
        if upstream is None:
            upstream = Followed(Follower(scope, limits=self._limits, rng=self._rng))
            upstream.error = self._end
            self._by_scope[scope] = upstream
            if self._link:
                self._group.create_task(self._enter(upstream, self._link, self._daemon))
        upstream.sinks.append(sink)
        follower = upstream.follower
        now_shown = [
            Shown(item.key, item, item.revision)
            for item in sorted(follower.items.values(), key=lambda item: item.revision)
            if item.instance is not None
        ]
        sink.push(now_shown, upstream.status(monotonic_s()))

    def detach(self, scope: Scope, sink: Sink) -> None:
        """Give `sink` nothing more; with its last sink a scope is not followed any more."""
        upstream = self._by_scope[scope]
        upstream.sinks.remove(sink)
        if upstream.sinks:
            return
        del self._by_scope[scope]
        upstream.follower.disconnected()
        upstream.cancel_timer()
        link, upstream.heard_on = upstream.heard_on, None
        if link:
            self._unsubscribe(link, scope)

    def want(self, scope: Scope, revision: int) -> None:
        """Get the view of `scope` to `revision` without waiting for the next BEAT."""
        upstream = self._by_scope.get(scope)
        if upstream:
            upstream.follower.want(revision, monotonic_s())
            self._pump(upstream)

    # ---- the connection

    def on_up(self, link: Link, daemon: str, limits: FollowerLimits) -> None:
        """Follow `daemon`, which beats as `limits` say, from now on."""
        self._link, self._daemon, self._limits = link, daemon, limits
        for upstream in self._by_scope.values():
            upstream.follower.limits = limits
            self._group.create_task(self._enter(upstream, link, daemon))

    def on_down(self) -> None:
        """Nobody is followed until the next `on_up`."""
        self._link = None
        for upstream in self._by_scope.values():
            upstream.follower.disconnected()
            upstream.heard_on = None
            upstream.cancel_timer()

    def close(self, error: DiscoveryError) -> None:
        """End all streams with `error`: nothing is followed any more."""
        self._end = error
        self.on_down()
        for upstream in self._by_scope.values():
            upstream.error = upstream.error or error
            self._pump(upstream)

    def on_message(self, topic: str, payload: bytes) -> None:
        """Take in one published message; what cannot be read is counted, and missed later."""
        try:
            _, value = unpack(payload)
            if topic.startswith(BEAT_TOPIC):
                self._on_beat(value)
            else:
                self._on_event(value)
        except (TransportError, InvalidArgumentError) as error:
            self.rejected += 1
            logger.debug("unreadable message", extra={"topic": topic, "why": str(error)})

    def tick(self) -> None:
        """Look at what only time tells: stale views, a daemon that does not serve us."""
        now = monotonic_s()
        for upstream in list(self._by_scope.values()):
            self._pump(upstream)
            follower = upstream.follower
            if self._link and follower.daemon and follower.is_in_vain(now):
                self._leave(self._link, "it does not serve us")

    # ---- inside

    def _on_beat(self, value: object) -> None:
        if self._link and is_goodbye(value, self._daemon):
            self._leave(self._link, "the daemon is stopping")
            return
        beat = beat_from_wire(value)
        if beat.daemon != self._daemon and self._link:
            self._leave(self._link, "the daemon was restarted")  # greet its new life
            return
        for upstream in list(self._by_scope.values()):
            upstream.follower.on_beat(beat, monotonic_s())
            self._pump(upstream, is_beat=True)

    def _on_event(self, value: object) -> None:
        event = event_from_wire(value, read_item)
        for depth in range(1, len(event.scope) + 1):
            upstream = self._by_scope.get(event.scope[:depth])
            if upstream:
                upstream.follower.on_event(event, monotonic_s())
                self._pump(upstream)

    async def _enter(self, upstream: Followed, link: Link, daemon: str) -> None:
        """Subscribe first, then let the follower ask."""
        scope = upstream.follower.scope
        try:
            async with asyncio.timeout(self._sync_timeout_s):
                await self._subscribe(link, scope)
        except (TimeoutError, UnavailableError):
            self._leave(link, f"{link.address}: nothing is heard of what it publishes")
            return  # the next link starts over
        except Exception:  # one stream must not end all others
            logger.exception("subscribing failed", extra={"scope": scope})
            self._leave(link, "an error of ours")
            return
        if self._by_scope.get(scope) is not upstream or link is not self._link:
            self._unsubscribe(link, scope)
            return
        upstream.heard_on = link
        upstream.follower.connected(daemon, monotonic_s())
        self._pump(upstream)

    async def _subscribe(self, link: Link, scope: Scope) -> None:
        await link.subscribe(beat_topic(self._codec))
        try:
            await link.subscribe(event_topic(self._codec, scope))
        except BaseException:
            link.unsubscribe(beat_topic(self._codec))
            raise

    def _unsubscribe(self, link: Link, scope: Scope) -> None:
        link.unsubscribe(event_topic(self._codec, scope))
        link.unsubscribe(beat_topic(self._codec))

    def _leave(self, link: Link, why: str) -> None:
        if self._connection and link is self._link:
            logger.info("leaving the daemon", extra={"why": why})
            self._connection.leave(link)

    def _pump(self, upstream: Followed, *, is_beat: bool = False) -> None:
        """Hand on what a follower has, and do what it wants."""
        follower, now = upstream.follower, monotonic_s()
        shown = follower.take()
        status = upstream.status(now)
        telling = (status.state, status.revision, status.is_recovering, status.error)
        if shown or is_beat or telling != upstream.last:
            upstream.last = telling
            for sink in list(upstream.sinks):
                sink.push(shown, status)
        request = follower.poll(now)
        if request and upstream.error is None:
            self._group.create_task(self._sync(upstream, request))
        self._plan(upstream, follower.next_wakeup() - now)

    def _plan(self, upstream: Followed, in_s: float) -> None:
        upstream.cancel_timer()
        if in_s < float("inf") and upstream.error is None:
            loop = asyncio.get_running_loop()
            upstream.timer = loop.call_later(max(0.0, in_s), self._pump, upstream)

    def _connected(self) -> Connection:
        if self._connection is None:
            raise UnavailableError("not connected")
        return self._connection

    async def _sync(self, upstream: Followed, request: SyncRequest) -> None:
        follower = upstream.follower
        fields: dict[str, object] = {
            "client": self._client,
            "scope": list(request.scope),
            "epoch": request.epoch,
            "since": request.since,
            "min_revision": request.at_least,
        }
        if self._tenant is not None:
            fields["tenant"] = self._tenant
        try:
            answer = await self._connected().call("sync", fields, self._sync_timeout_s)
            follower.on_answer(answer_from_wire(request.number, answer), monotonic_s())
        except ResourceExhaustedError as error:
            follower.sync_failed(request.number, monotonic_s(), error.retry_after_s)
        except DiscoveryError as error:
            if error.retryable or isinstance(error, InternalError):
                follower.sync_failed(request.number, monotonic_s())
            else:
                extra = {"scope": request.scope, "why": str(error)}
                logger.error("watch refused", extra=extra)  # noqa: TRY400 - a refusal, no fault
                upstream.error = error
        except Exception:  # one stream must not end all others
            logger.exception("sync failed", extra={"scope": request.scope})
            follower.sync_failed(request.number, monotonic_s())
        if self._by_scope.get(request.scope) is upstream:
            self._pump(upstream)
