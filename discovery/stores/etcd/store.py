"""The store on etcd, for fleets: several daemons share it, and it outlives them all."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Self

from discovery.errors import DiscoveryError, InvalidArgumentError
from discovery.store import NoPutAfter, Put, Snapshot, Store
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import GRANT, LEASES, REVOKE, STATUS, Tls
from discovery.stores.etcd.client import EtcdClient, Login
from discovery.stores.etcd.committer import Committer
from discovery.stores.etcd.keyspace import Keyspace, Why
from discovery.stores.etcd.line import Line
from discovery.stores.etcd.proofs import Proofs
from discovery.stores.etcd.refusals import EtcdError
from discovery.stores.etcd.renewals import Renewals
from discovery.stores.etcd.translation import error_of
from discovery.stores.etcd.url import parse_etcd_url
from discovery.stores.etcd.watch import EtcdWatch
from discovery.stores.keytree import check_prefix
from transports.scope import running

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from discovery.events import Cause
    from discovery.store import Guard, Op, Watch
    from discovery.stores.etcd.line import Loaded
    from discovery.stores.etcd.url import EtcdUrl

logger = logging.getLogger(__name__)

PROBE_S = 1.0


class EtcdStore:
    """`discovery.store.Store` on etcd 3.4 or newer. Must be used within one running event loop.

    Args:
        url: as `parse_etcd_url` reads it.
        most_waiting: batches of a watch that are kept here for who does not read.
        rng: draws epochs and marks.
        probe_s: how often a watch of everything is proven to be up to date.
    """

    has_guards = True

    def __init__(
        self, url: str, *, most_waiting: int, rng: random.Random, probe_s: float = PROBE_S
    ) -> None:
        self._url = parse_etcd_url(url)
        self._client = _client(self._url)
        self._most_waiting, self._probe_s = most_waiting, probe_s
        self._keys = Keyspace(self._url.prefix)
        self._line = Line(self._client, self._keys, rng)
        self._line.on_break = self._break_off
        self._committer = Committer(self._client, self._keys, self._line, rng)
        self._proofs = Proofs()
        self._committer.on_written = self._proofs.note
        self._renewals = Renewals(self._client)
        self._watches: dict[EtcdWatch, None] = {}
        self._loaded: Loaded | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.aclose)
            self._line.follow(await self._line.load())
            self._proofs.proven_at = asyncio.get_running_loop().time()
            runs = (self._committer.run(), self._renewals.run(), self._probe())
            await stack.enter_async_context(running(*runs))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # ---- what it is

    @property
    def epoch(self) -> str:
        """See `Store`. That of what is followed: commits are decided on that."""
        return self._line.epoch

    @property
    def registry_id(self) -> str | None:
        """See `Store`."""
        return self._line.registry_id

    @property
    def pauses(self) -> int:
        """See `Store`."""
        return self._line.pauses

    def age_s(self) -> float:
        """See `Store`."""
        self._settle_proofs()
        return max(0.0, asyncio.get_running_loop().time() - self._proofs.proven_at)

    # ---- leases

    def renew_all(self) -> None:
        """See `Store`. Other daemons may have heard those that this one has not."""

    async def grant(self, lease_id: int, ttl_s: float) -> float:
        """See `Store`. etcd counts in whole seconds, and has a shortest TTL of its own."""
        request = pb.LeaseGrantRequest(ID=lease_id, TTL=math.ceil(ttl_s))
        try:
            answer = await self._client.call(GRANT, request)
        except EtcdError as error:
            raise error_of(error, f"lease {lease_id:x}") from error
        return float(answer.TTL)

    async def keep_alive(self, lease_id: int) -> float:
        """See `Store`."""
        return await self._renewals.renew(lease_id)

    async def revoke(
        self,
        lease_id: int,
        cause: Cause,
        detail: str | None = None,
        guards: Sequence[Guard] = (),
    ) -> int:
        """See `Store`. Why is written under the lease first, and goes with it."""
        await self.commit([self._keys.ends(lease_id, Why(cause, detail))], guards)
        try:
            answer = await self._client.call(REVOKE, pb.LeaseRevokeRequest(ID=lease_id))
        except EtcdError as error:
            raise error_of(error, f"lease {lease_id:x}") from error
        return answer.header.revision

    # ---- records

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        """See `Store`."""
        _check_shape(ops, guards)
        return await self._committer.commit(ops, guards)

    async def snapshot(self, prefix: str) -> Snapshot:
        """See `Store`. The whole of it tells the epoch of the watch that follows."""
        if not check_prefix(prefix):
            loaded = self._loaded = await self._line.load()
            return Snapshot(loaded.revision, self._keys.entries(loaded.kvs, ""))
        try:
            revision, kvs = await self._line.read(*self._keys.range_of(prefix))
        except EtcdError as error:
            raise error_of(error, "reading") from error
        return Snapshot(revision, self._keys.entries(kvs, prefix))

    async def revisions_at(self, revision: int) -> Mapping[str, int]:
        """See `Store`."""
        try:
            found = await self._line.read(*self._keys.range_of(""), revision, keys_only=True)
        except EtcdError as error:
            raise error_of(error, "comparing") from error
        return {entry.key: entry.revision for entry in self._keys.entries(found[1], "")}

    async def report(self) -> Mapping[str, object]:
        """See `Store`. Of the member that calls go to now."""
        try:
            status = await self._client.call(STATUS, pb.StatusRequest())
            leases = await self._client.call(LEASES, pb.LeaseLeasesRequest())
        except EtcdError as error:
            return {"endpoint": self._client.endpoint, "error": str(error)}
        return {
            "endpoint": self._client.endpoint,
            "version": status.version,
            "revision": status.header.revision,
            "leases": len(leases.leases),
            "bytes": status.dbSize,
            "has_leader": status.leader != 0,
            "watch_reconnects": sum(watch.reconnects for watch in self._watches),
        }

    def watch(self, prefix: str, after: int) -> Watch:
        """See `Store`."""
        loaded = self._loaded
        return EtcdWatch(
            self._client,
            self._keys,
            self._line,
            prefix=check_prefix(prefix),
            after=after,
            loaded=loaded if loaded and loaded.revision == after else None,
            most_waiting=self._most_waiting,
            entered=self._watches,
        )

    # ---- proofs

    def _settle_proofs(self) -> None:
        main = self._main()
        if main:
            self._proofs.settle(main.handed_over)

    def _main(self) -> EtcdWatch | None:
        """Return the watch of everything that was entered last: what a daemon follows."""
        return next((w for w in reversed(self._watches) if not w.prefix), None)

    async def _probe(self) -> None:
        """Write when nobody else does, and give up a watch that does not bring what was written."""
        requests = -1
        while True:
            await asyncio.sleep(self._probe_s)
            self._settle_proofs()
            main = self._main()
            if main is None:
                self._proofs.forget()
                continue
            now = asyncio.get_running_loop().time()
            if self._proofs.is_silent(main.received, main.listening_since, now):
                logger.warning("watch of etcd is silent", extra={"endpoint": self._client.endpoint})
                self._proofs.forget()
                main.reconnect()
            if self._committer.requests == requests:
                with suppress(DiscoveryError):
                    await self._committer.commit([], [])
            requests = self._committer.requests

    def _break_off(self, why: str) -> None:
        self._proofs.forget()  # of revisions that may never come
        for watch in self._watches:
            watch.break_off(why)


def _check_shape(ops: Sequence[Op], guards: Sequence[Guard]) -> None:
    if len({op.key for op in ops}) < len(ops):
        raise InvalidArgumentError("commit: a key appears twice; expected each key once")
    leases = {op.lease for op in ops if isinstance(op, Put)} - {None}
    if len(leases) > 1:
        raise InvalidArgumentError(
            f"commit: touches keys of {len(leases)} leases; expected one lease at most"
        )
    prefixes = [check_prefix(guard.prefix) for guard in guards if isinstance(guard, NoPutAfter)]
    if len(prefixes) > 1:
        raise InvalidArgumentError("commit: two prefix guards; expected one at most")


def _client(url: EtcdUrl) -> EtcdClient:
    """Return a client for a URL, whose files are read here. Raises `InvalidArgumentError`."""
    tls = Tls(_read("ca", url.ca), _read("key", url.key), _read("cert", url.cert))
    password = _read("password_file", url.password_file)
    login = None
    if url.user is not None and password is not None:
        login = Login(url.user, password.decode().rstrip("\r\n"))
    return EtcdClient(url.endpoints, tls=tls if url.is_tls else None, login=login)


def _read(option: str, file: Path | None) -> bytes | None:
    try:
        return file.read_bytes() if file else None
    except OSError as error:
        raise InvalidArgumentError(
            f"store: {option} {str(file)!r} cannot be read: {error.strerror}"
        ) from error


_: type[Store] = EtcdStore
