"""A store with etcd's rules: one for several daemons, whose leases outlive them all.

The rules inside are those of the real `MemoryStore`, run in a process of its own. Each daemon has
its own way to it, which is slow, can break, and can lag.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Self

from discovery.errors import DiscoveryError, UnavailableError
from discovery.store import Batch, CompactedError, Snapshot, Store, Watch
from discovery.stores.memory import MemoryStore
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from discovery.events import Cause
    from discovery.lease import LeaseTable
    from discovery.store import Guard, Op
    from tests.simulation.daemons import Daemon
    from tests.simulation.world import World

PROBE_S = 0.4
_ANSWER_S = 1.0
_CUT_OFF_AFTER_S = 1.0  # then leases may have ended that no daemon was able to renew


def at_once(coro: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coro.send(None)
    except StopIteration as result:
        return result.value
    raise AssertionError("it waits")


class Server:
    """The store itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ways: list[Way] = []
        self.lives = 0
        self.process = Process("store", zero_s=world.rng.uniform(0, 1000), after=self._ran)
        self.store = self._new_store()

    def _new_store(self) -> MemoryStore:
        self.lives += 1
        rng = random.Random(f"{self.world.seed}/store/{self.lives}")
        return MemoryStore(history_revisions=400, rng=rng)

    def _ran(self) -> None:
        self.world.truth.note()
        for way in self.ways:
            way.pull()

    def do(self, call: Callable[[MemoryStore], Coroutine[Any, Any, Any]]) -> Any:
        """Carry a call out now."""

        def run() -> Any:
            return at_once(call(self.store))

        try:
            return self.process.run(run)
        finally:
            self._ran()

    def compact(self) -> None:
        """Forget all of the past; a daemon that lags must load anew."""
        self.world.count("compactions")
        self._ran()
        self.store._history._batches.clear()
        for way in self.ways:
            way.lose_what_is_under_way()

    def lose_tail(self, back: int) -> None:
        """Start again from a state of some commits ago, under another epoch, with its leases."""
        self.world.count("epochs lost")
        old, history = self.store, self.store._history
        self._ran()
        back = min(back, len(history._batches))
        entries = {e.key: e for e in old._tree.under("")}
        undone = list(history._batches)[len(history._batches) - back :]
        for batch in reversed(undone):
            for change in batch.changes:
                before = self._before(change.key, batch.revision)
                entries.pop(change.key, None)
                if before is not None:
                    entries[change.key] = before
        self.process.run(old._stop_timer)
        new = self.store = self._new_store()
        self.process.run(self._fill, new, old._leases, list(entries.values()))
        new._history.revision = history.revision - back
        self.world.truth.begin(new)
        for way in self.ways:
            way.lose_what_is_under_way()

    def _before(self, key: str, revision: int) -> Any:
        for batch in reversed(self.store._history._batches):
            if batch.revision < revision:
                for change in batch.changes:
                    if change.key == key:
                        return change.entry
        return None

    def _fill(self, new: MemoryStore, leases: LeaseTable, entries: Sequence[Any]) -> None:
        now = asyncio.get_running_loop().time()
        owners = {e.lease for e in entries if e.lease is not None}
        for owner in sorted(owners | set(leases._ttl)):
            new._leases.grant(owner, leases._ttl.get(owner, 6.0), now)
            new._keys_of[owner] = set()
        for entry in entries:
            new._tree.put(entry)
            if entry.lease is not None:
                new._keys_of[entry.lease].add(entry.key)
        new._plan(now)


class Way:
    """One daemon's way to the store: `discovery.store.Store`, with all that is between them."""

    has_guards = True

    def __init__(self, server: Server, daemon: Daemon) -> None:
        self.server, self.world, self.daemon = server, server.world, daemon
        self.process = daemon.process
        self._rng = self.world.own_rng(f"way of {self.process.name}")
        self.registry_id: str | None = "simulated"
        self.pauses = 0
        self.cut_until = self.slow_until = 0.0
        self._epoch = self._loaded_epoch = ""
        self._proven_at = self._heard_at = self._loaded_at = float("-inf")
        self._pipe_free_at = 0.0
        self._following: Following | None = None
        self._probe()

    @property
    def epoch(self) -> str:
        """The epoch of what is followed: commits are decided on that, and refused by another.

        Found by seed 50673: if it changed as soon as a snapshot came, then what was still decided
        on the old state would pass the guards of the new one, whose revisions are lower.
        """
        return self._epoch

    @property
    def is_cut(self) -> bool:
        return self.world.now < self.cut_until or not self.server.process.is_running

    def age_s(self) -> float:
        """See `Store`."""
        return max(0.0, self._now() - self._proven_at)

    def renew_all(self) -> None:
        """See `Store`: others decide as well."""

    async def grant(self, lease_id: int, ttl_s: float) -> float:
        return await self._ask(lambda store: store.grant(lease_id, ttl_s))

    async def keep_alive(self, lease_id: int) -> float:
        return await self._ask(lambda store: store.keep_alive(lease_id))

    async def revoke(
        self,
        lease_id: int,
        cause: Cause,
        detail: str | None = None,
        guards: Sequence[Guard] = (),
    ) -> int:
        return await self._ask(lambda store: store.revoke(lease_id, cause, detail, guards))

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        return await self._ask(lambda store: store.commit(ops, guards))

    async def snapshot(self, prefix: str) -> Snapshot:
        """See `Store`. The whole of it tells the epoch, which then holds for what follows."""
        if prefix:
            return await self._ask(lambda store: store.snapshot(prefix))

        async def load(store: MemoryStore) -> tuple[str, Snapshot]:
            return store.epoch, await store.snapshot(prefix)

        self._following, self._loaded_at = None, self._now()
        self._loaded_epoch, snapshot = await self._ask(load, any_epoch=True)
        return snapshot

    async def revisions_at(self, revision: int) -> None:
        """No change is lost here but those that make a watch break."""

    async def report(self) -> Mapping[str, object]:
        return {}

    def watch(self, prefix: str, after: int) -> Watch:
        assert not prefix
        return Following(self, after)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to free."""

    # ---- requests

    async def _ask(
        self, call: Callable[[MemoryStore], Coroutine[Any, Any, Any]], *, any_epoch: bool = False
    ) -> Any:
        """Send a call; when its answer does not come, nobody knows whether it was done."""
        if self.world.is_over:
            raise UnavailableError("over")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        epoch = None if any_epoch else self._epoch
        if not self.is_cut:
            late_s = self._rng.uniform(0.0005, 0.008)
            self.world.loop.at(late_s, lambda: self._serve(call, future, epoch))
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await future
        except TimeoutError:
            raise UnavailableError("the store does not answer") from None

    def _serve(self, call: Any, future: asyncio.Future[Any], epoch: str | None) -> None:
        if self.is_cut:
            return
        result: Any = None
        error: DiscoveryError | None = None
        if epoch not in {None, self.server.store.epoch}:
            error = UnavailableError("the store is not the one that was loaded")
        else:
            try:
                result = self.server.do(call)
            except DiscoveryError as refusal:
                error = refusal

        def arrive() -> None:
            if self.is_cut:
                self.world.count("store answers lost")
            elif not future.done() and error:
                future.set_exception(error)
            elif not future.done():
                future.set_result(result)

        self.world.loop.at(self._rng.uniform(0.0005, 0.008), arrive, self.process)

    # ---- what the watch is sent

    def pull(self) -> None:
        """Send on what the store has done since the last time."""
        following = self._following
        if following is None or following.source is None or self.is_cut:
            return
        try:
            batches = following.source.ready()
        except CompactedError:
            self._send(following, following.break_off)
            following.source = None
            return
        for batch in batches:
            self._send(following, lambda batch=batch: following.arrive(batch))  # type: ignore[misc]

    def _send(self, following: Following, do: Callable[[], None]) -> None:
        """Deliver in order, one after another."""
        at = max(self._pipe_free_at, self.slow_until, self.world.now)
        self._pipe_free_at = at + self._rng.uniform(0.0005, 0.01)

        def arrive() -> None:
            if self._following is following:
                do()

        self.world.loop.at(self._pipe_free_at - self.world.now, arrive, self.process)

    def lose_what_is_under_way(self) -> None:
        """The watch breaks; what was on its way never comes."""
        following = self._following
        if following and (self.slow_until > self.world.now or not following.is_current):
            following.source = None
            following.is_lost = True
            self.world.loop.at(0.2, following.break_off, self.process)

    def stall(self, for_s: float) -> None:
        """Nothing of the watch comes for a while."""
        self.world.count("watch stalls")
        self.slow_until = max(self.slow_until, self.world.now + for_s)

    def cut(self, for_s: float) -> None:
        """Nothing comes and nothing goes for a while."""
        self.world.count("store cut off")
        self.cut_until = max(self.cut_until, self.world.now + for_s)

    def _probe(self) -> None:
        """Ask, through the watch's own pipe, whether all that is committed has come."""
        self.process.run(self._probe_now)

    def _probe_now(self) -> None:
        if self.world.is_over:
            return
        loop = self.world.loop
        loop.call_later(PROBE_S, self._probe_now)
        asked_at, following = self._now(), self._following
        if following is None or self.is_cut:
            return
        if not following.is_current:
            following.break_off()
            return

        def serve() -> None:
            if following.is_current and not self.is_cut:
                self.pull()
                self._send(following, lambda: self._proven(asked_at))

        loop.at(0.001, serve)

    def _proven(self, asked_at: float) -> None:
        self.notice_cut()
        if self._following and self._following.has_arrived:
            self._following.proven_at = asked_at  # counts once that has been handed over
        else:
            self._proven_at = max(self._proven_at, asked_at)

    def notice_cut(self) -> None:
        """What comes after a long silence may tell of leases that nobody could renew."""
        before, self._heard_at = self._heard_at, self._now()
        if self._heard_at - before > _CUT_OFF_AFTER_S and before > float("-inf"):
            self.pauses += 1
            self.world.count("daemons cut off from the store")

    def _now(self) -> float:
        return self.process.local(self.world.now)


class Following:
    """The one watch of a daemon: what has arrived."""

    def __init__(self, way: Way, after: int) -> None:
        self._way, self._after = way, after
        self.source: Any = None
        self.is_lost = False
        self._arrived: list[Batch] = []
        self.proven_at = float("-inf")
        self._is_broken = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def has_arrived(self) -> bool:
        """Something waits to be handed over."""
        return bool(self._arrived)

    @property
    def is_current(self) -> bool:
        """What it follows is still there."""
        return self.source is not None and (
            self.source._history is self._way.server.store._history and not self.is_lost
        )

    async def __aenter__(self) -> Self:
        server, way = self._way.server, self._way

        async def begin(store: MemoryStore) -> object:
            return await store.watch("", self._after).__aenter__()

        try:
            self.source = await way._ask(begin, any_epoch=True)
        except UnavailableError as error:
            raise CompactedError(f"not reached: {error}") from error
        if not self.is_current or server.store.epoch != way._loaded_epoch:
            raise CompactedError("another store")
        way._epoch = way._loaded_epoch
        way._following = self
        way.notice_cut()
        way._proven_at = way._loaded_at
        way.pull()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._way._following is self:
            self._way._following = None

    def ready(self) -> Sequence[Batch]:
        if self._is_broken:
            raise CompactedError("the watch broke")
        arrived, self._arrived = self._arrived, []
        self._way._proven_at = max(self._way._proven_at, self.proven_at)
        return arrived

    async def wait(self) -> None:
        while not self._arrived and not self._is_broken:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._is_broken:
            raise CompactedError("the watch broke")

    def arrive(self, batch: Batch) -> None:
        self._way.notice_cut()
        self._arrived.append(batch)
        self._wake()

    def break_off(self) -> None:
        self._is_broken = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


_: type[Store] = Way
