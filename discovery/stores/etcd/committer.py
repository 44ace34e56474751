"""Writes commits to etcd, as many in one request as do not touch each other."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError, LeaseExpiredError, UnavailableError
from discovery.store import GuardFailedError
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import TXN
from discovery.stores.etcd.keyspace import head_value
from discovery.stores.etcd.refusals import EtcdError, LeaseNotFoundError, UnreachableError
from discovery.stores.etcd.sharing import Footprint
from discovery.stores.etcd.translation import error_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from discovery.store import Guard, Op
    from discovery.stores.etcd.client import EtcdClient
    from discovery.stores.etcd.keyspace import Keyspace
    from discovery.stores.etcd.line import Line

_MOST_SHARING = 48
_MOST_BYTES = 512 << 10  # etcd takes 1.5 MiB; one commit alone may be that large
MOST_OPERATIONS = 120
"""etcd takes 128 in a request by default; some are ours."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A commit, and who waits for its revision."""

    ops: Sequence[Op]
    guards: Sequence[Guard]
    epoch: str
    future: asyncio.Future[int]

    @property
    def weight(self) -> int:
        return sum(len(op.key) + len(getattr(op, "value", b"")) for op in self.ops)


class Committer:
    """One request at a time; what comes meanwhile shares the next.

    Args:
        client: where to write.
        keys: of the registry.
        line: what every request proves to be still on.
        rng: draws a mark for each request.
    """

    def __init__(self, client: EtcdClient, keys: Keyspace, line: Line, rng: random.Random) -> None:
        self.requests = 0
        self.on_written: Callable[[int, float], None] = _ignore
        """Is given the revision of each request, and when that was sent."""
        self._client, self._keys, self._line, self._rng = client, keys, line, rng
        self._waiting: deque[_Waiting] = deque()
        self._wanted = asyncio.Event()

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard]) -> int:
        """See `Store.commit`. One without operations writes the head all the same."""
        wide = max(len(ops), len(guards))
        if wide > MOST_OPERATIONS:
            raise InvalidArgumentError(
                f"commit: {wide} operations or guards, expected {MOST_OPERATIONS} at most"
            )
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(ops, guards, self._line.epoch, future))
        self._wanted.set()
        return await future

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                share = self._take_share()
                if not self._waiting:
                    self._wanted.clear()
                await self._write_share(share)
        finally:
            for one in self._waiting:
                _fail([one], UnavailableError("this daemon is stopping"))

    def _take_share(self) -> list[_Waiting]:
        """Take those that may go together, and leave the others in their order."""
        share: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        footprint, weight = Footprint(), 0
        while self._waiting and len(share) < _MOST_SHARING:
            one = self._waiting.popleft()
            if one.future.cancelled():
                continue
            if one.epoch != self._line.epoch:
                _fail([one], UnavailableError("another epoch began before it was written"))
                continue
            is_met = footprint.meets(one.ops, one.guards)
            footprint.add(one.ops, one.guards)
            weight += one.weight
            wide = max(len(one.ops), len(one.guards)) + len(share) > MOST_OPERATIONS // 2
            if is_met or (share and (wide or weight > _MOST_BYTES)):
                left.append(one)
            else:
                share.append(one)
        left.extend(self._waiting)
        self._waiting = left
        return share

    async def _write_share(self, share: Sequence[_Waiting]) -> None:
        """Write them in one request; one that etcd refuses as a whole, one by one."""
        try:
            await self._write(share)
        except UnavailableError as error:
            _fail(share, error)
        except UnreachableError as error:
            _fail(share, UnavailableError(f"commit: no answer from etcd: {error}"))
        except LeaseNotFoundError as error:
            if len(share) == 1:
                _fail(share, LeaseExpiredError(f"commit: its lease has ended ({error})"))
            else:
                await self._write_singly(share)
        except EtcdError as error:
            if len(share) == 1:
                _fail(share, error_of(error, "commit"))
            else:
                await self._write_singly(share)
        except asyncio.CancelledError:
            _fail(share, UnavailableError("this daemon is stopping"))
            raise

    async def _write_singly(self, share: Sequence[_Waiting]) -> None:
        for one in share:
            await self._write_share([one])

    async def _write(self, share: Sequence[_Waiting]) -> None:
        keys, line = self._keys, self._line
        mark = f"{self._rng.getrandbits(64):016x}"
        head = head_value(mark, [op for one in share for op in one.ops])
        members = [
            pb.TxnRequest(
                compare=[each for guard in one.guards for each in keys.comparisons(guard)],
                success=[keys.operation(op) for op in one.ops],
            )
            for one in share
            if one.ops or one.guards
        ]
        request = pb.TxnRequest(
            compare=line.proofs(),
            success=[
                *(pb.RequestOp(request_txn=member) for member in members),
                pb.RequestOp(request_put=pb.PutRequest(key=keys.head, value=head)),
            ],
        )
        asked_at = asyncio.get_running_loop().time()
        self.requests += 1
        answer = await self._client.call(TXN, request)
        if not answer.succeeded:
            line.doubt()
            raise UnavailableError("the store is not as it was left; looking at it anew")
        revision = answer.header.revision
        line.wrote(revision, head)
        self.on_written(revision, asked_at)
        answers = iter(answer.responses)
        for one in share:
            is_done = not (one.ops or one.guards) or next(answers).response_txn.succeeded
            if one.future.done():
                continue  # whoever asked has gone
            if is_done:
                one.future.set_result(revision)
            else:
                one.future.set_exception(GuardFailedError("a guard of the commit did not hold"))


def _fail(share: Sequence[_Waiting], error: Exception) -> None:
    for one in share:
        if not one.future.done():
            one.future.set_exception(error)


def _ignore(_revision: int, _asked_at: float) -> None:
    """Take no note."""
