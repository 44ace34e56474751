"""Renews leases, all over one stream."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from discovery.errors import LeaseExpiredError, UnavailableError
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import KEEP_ALIVE
from discovery.stores.etcd.refusals import EtcdError
from transports.scope import running

if TYPE_CHECKING:
    from discovery.stores.etcd.calls import Stream
    from discovery.stores.etcd.client import EtcdClient

    _Stream = Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

_WITHIN_S = 2.0
_PAUSE_S = 0.2


class Renewals:
    """Keep-alives on their way. etcd answers them in order."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._to_send: deque[int] = deque()
        self._waiting: dict[int, deque[asyncio.Future[float]]] = {}
        self._wanted = asyncio.Event()
        self._stream: _Stream | None = None

    async def renew(self, lease_id: int) -> float:
        """See `Store.keep_alive`."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(lease_id, deque()).append(future)
        self._to_send.append(lease_id)
        self._wanted.set()
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await future
        except TimeoutError:
            self._hang_up()
            raise UnavailableError("keep-alive: no answer from etcd") from None

    async def run(self) -> None:
        """Renew until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                try:
                    await self._talk()
                except EtcdError as error:
                    self._fail(UnavailableError(f"keep-alive: no answer from etcd: {error}"))
                    await asyncio.sleep(_PAUSE_S)
        finally:
            self._fail(UnavailableError("this daemon is stopping"))

    def _hang_up(self) -> None:
        """Begin a new stream, perhaps to another member."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.hang_up()

    async def _talk(self) -> None:
        """Renew over one stream, until all is answered and other calls go elsewhere."""
        async with self._client.stream(KEEP_ALIVE) as stream, running(self._send(stream)):
            self._stream = stream
            while self._waiting or not stream.is_left_behind:
                self._take(await stream.receive())
        self._stream = None

    def _take(self, answer: pb.LeaseKeepAliveResponse) -> None:
        waiting = self._waiting.get(answer.ID)
        if not waiting:
            return
        future = waiting.popleft()
        if not waiting:
            del self._waiting[answer.ID]
        if future.done():
            return
        if answer.TTL > 0:
            future.set_result(float(answer.TTL))
        else:
            future.set_exception(
                LeaseExpiredError(f"lease {answer.ID:x}: has ended or was never granted")
            )

    async def _send(self, stream: _Stream) -> None:
        with suppress(EtcdError):  # whoever receives finds it too
            while True:
                while self._to_send:
                    await stream.send(pb.LeaseKeepAliveRequest(ID=self._to_send.popleft()))
                self._wanted.clear()
                await self._wanted.wait()

    def _fail(self, error: Exception) -> None:
        self._stream = None
        self._to_send.clear()
        self._wanted.clear()
        waiting, self._waiting = self._waiting, {}
        for future in (future for futures in waiting.values() for future in futures):
            if not future.done():
                future.set_exception(error)
