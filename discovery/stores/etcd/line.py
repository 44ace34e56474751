"""The unbroken line of revisions that is followed, and how it is proven to be that.

etcd's revisions go back when it is restored from a backup or comes back empty; its cluster id stays
the same. So there is an epoch in the store, a head that every commit rewrites with a mark of its
own, and everything that is written is compared with both. Who finds that the store went back sets a
new epoch.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.errors import UnavailableError
from discovery.store import CompactedError
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import RANGE, TXN
from discovery.stores.etcd.keyspace import head_value
from discovery.stores.etcd.refusals import EtcdError, FutureRevisionError, RevisionCompactedError
from discovery.stores.etcd.translation import error_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from discovery.stores.etcd.client import EtcdClient
    from discovery.stores.etcd.keyspace import Keyspace

logger = logging.getLogger(__name__)

_CUT_OFF_AFTER_S = 2.0
_PAGE = 10_000
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Loaded:
    """All keys in the registry's range at one revision, and what line they are on."""

    revision: int
    kvs: Sequence[pb.KeyValue]
    epoch: str
    registry_id: str
    head: tuple[int, bytes]


class Line:
    """What this daemon takes for the store's line of revisions.

    Args:
        client: where to look.
        keys: of the registry.
        rng: draws epochs and marks.
    """

    def __init__(self, client: EtcdClient, keys: Keyspace, rng: random.Random) -> None:
        self.epoch = ""
        self.registry_id: str | None = None
        self.pauses = 0
        self.on_break: Callable[[str], None] = _ignore
        """Is told why what is followed has to be loaded anew."""
        self._client, self._keys, self._rng = client, keys, rng
        client.on_heard, client.on_lost = self.heard, self.lost
        self._head = (0, b"")
        self._seen = 0
        self._heard_at: float | None = None
        self._lost_at: float | None = None

    def heard(self, after_s: float) -> None:
        """Note that etcd has answered, after so long.

        If that was long, or if it did not answer before, leases may have ended that nobody could
        renew.
        """
        now = asyncio.get_running_loop().time()
        since = min(now - after_s, now if self._lost_at is None else self._lost_at)
        if now - since > _CUT_OFF_AFTER_S:
            self.pauses += 1
            logger.warning("etcd was away", extra={"for_s": round(now - since, 3)})
        self._heard_at, self._lost_at = now, None

    def lost(self) -> None:
        """Note that etcd has not answered; since when, nobody knows."""
        if self._lost_at is None:
            self._lost_at = self._heard_at

    def wrote(self, revision: int, head: bytes) -> None:
        """Note the head that a commit has written, or that a watch has brought."""
        self._seen = max(self._seen, revision)
        if revision > self._head[0]:
            self._head = (revision, head)

    def saw(self, revision: int) -> None:
        """Note that the store has come to a revision."""
        self._seen = max(self._seen, revision)

    def proofs(self) -> list[pb.Compare]:
        """Return what holds as long as the store is on this line."""
        keys, (revision, _) = self._keys, self._head
        return [
            pb.Compare(
                key=keys.epoch,
                target=pb.Compare.VALUE,
                result=pb.Compare.EQUAL,
                value=self.epoch.encode(),
            ),
            pb.Compare(
                key=keys.head,
                target=pb.Compare.MOD,
                result=pb.Compare.GREATER,
                mod_revision=revision - 1,
            ),
        ]

    def doubt(self) -> None:
        """Have everything loaded anew: a commit was refused for not being on this line."""
        self.on_break("the store is not as it was left")

    def follow(self, loaded: Loaded) -> None:
        """Take what was loaded for the line from now on."""
        if loaded.epoch != self.epoch:
            if self.epoch:
                self.pauses += 1  # leases may have gone with what was lost
            self._head, self._seen = loaded.head, loaded.revision
        self.epoch, self.registry_id = loaded.epoch, loaded.registry_id
        self.wrote(*loaded.head)
        self.saw(loaded.revision)

    # ---- looking

    async def load(self) -> Loaded:
        """Read all there is, at one revision. Sets a new epoch if the store went back.

        Raises `UnavailableError`, and what etcd refuses.
        """
        try:
            for _ in range(_ATTEMPTS):
                revision, kvs = await self.read(*self._keys.range_of(""))
                loaded = self._read_books(revision, kvs)
                if loaded is not None and not self._went_back(loaded):
                    return loaded
                await self._set_epoch(loaded)
        except EtcdError as error:
            raise error_of(error, "loading") from error
        raise UnavailableError("the epoch in etcd does not come to rest")

    async def read(
        self, start: bytes, end: bytes, revision: int = 0, *, keys_only: bool = False
    ) -> tuple[int, list[pb.KeyValue]]:
        """Return the revision and all keys from `start` to before `end`, page by page.

        At the given revision, or at the newest one. Raises `EtcdError`.
        """
        kvs: list[pb.KeyValue] = []
        while True:
            request = pb.RangeRequest(
                key=start, range_end=end, limit=_PAGE, revision=revision, keys_only=keys_only
            )
            answer = await self._client.call(RANGE, request)
            revision = revision or answer.header.revision
            kvs.extend(answer.kvs)
            if not answer.more:
                return revision, kvs
            start = kvs[-1].key + b"\0"

    async def prove(self, after: int, loaded: Loaded | None = None) -> None:
        """Return if the store keeps what came after a revision, and is on this line.

        Or on that of what was just loaded. Raises `CompactedError` otherwise, and
        `UnavailableError`.
        """
        revision, value = loaded.head if loaded else self._head
        at = max(after, revision)
        books = (
            pb.RangeRequest(key=self._keys.epoch, revision=after),
            pb.RangeRequest(key=self._keys.head, revision=at),
        )
        request = pb.TxnRequest(success=[pb.RequestOp(request_range=each) for each in books])
        try:
            answer = await self._client.call(TXN, request)
        except FutureRevisionError as error:
            if at <= self._seen:
                self.doubt()
            raise CompactedError(f"the store has not come to revision {at}") from error
        except RevisionCompactedError as error:
            raise CompactedError(f"etcd has forgotten what came after {after}") from error
        except EtcdError as error:
            raise error_of(error, "watching") from error
        kvs = answer.responses[1].response_range.kvs
        if (
            revision
            and after <= self._seen
            and [(k.mod_revision, k.value) for k in kvs] != [(revision, value)]
        ):
            self.doubt()
            raise CompactedError("the store is not the one that was loaded")

    def _read_books(self, revision: int, kvs: Sequence[pb.KeyValue]) -> Loaded | None:
        """Return what was loaded, None if the registry has not been begun."""
        keys = self._keys
        books = {kv.key: kv for kv in kvs if kv.key in {keys.epoch, keys.registry, keys.head}}
        if len(books) < 3:  # noqa: PLR2004 - some are missing
            return None
        head = books[keys.head]
        return Loaded(
            revision,
            kvs,
            books[keys.epoch].value.decode(errors="replace"),
            books[keys.registry].value.decode(errors="replace"),
            (head.mod_revision, head.value),
        )

    def _went_back(self, loaded: Loaded) -> bool:
        revision, value = self._head
        return loaded.epoch == self.epoch and (
            loaded.revision < self._seen
            or loaded.head[0] < revision
            or (loaded.head[0] == revision and loaded.head[1] != value)
        )

    async def _set_epoch(self, loaded: Loaded | None) -> None:
        """Begin an epoch, unless somebody else has just done so."""
        keys, mark = self._keys, f"{self._rng.getrandbits(64):016x}"
        if loaded is None:
            compare = pb.Compare(key=keys.epoch, target=pb.Compare.CREATE, create_revision=0)
            registry = self.registry_id or f"{self._rng.getrandbits(64):016x}"
        else:
            compare = pb.Compare(
                key=keys.epoch, target=pb.Compare.VALUE, value=loaded.epoch.encode()
            )
            registry = loaded.registry_id
        books = {keys.epoch: mark.encode(), keys.registry: registry.encode()}
        books[keys.head] = head_value(mark, ())
        puts = [pb.PutRequest(key=key, value=value) for key, value in books.items()]
        request = pb.TxnRequest(
            compare=[compare], success=[pb.RequestOp(request_put=put) for put in puts]
        )
        answer = await self._client.call(TXN, request)
        if answer.succeeded and loaded:
            logger.warning("the store went back, another epoch begins", extra={"epoch": mark})
        elif answer.succeeded:
            logger.info("a registry begins", extra={"epoch": mark})


def _ignore(_: str) -> None:
    """Tell nobody."""
