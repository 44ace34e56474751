"""What a run's processes wrote, put in order of time and shown to the simulation's judges."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from discovery.store import Batch
from tests.chaos.recording import Did, Seen, Wrong, records_of
from tests.chaos.schedule import TTL_S
from tests.simulation.judge import Judge
from tests.simulation.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from discovery.follower import StreamState
    from discovery.protocol import Item
    from tests.chaos.deeds import Befell
    from tests.chaos.fleet import Fleet

SETTLES_S = TTL_S - 1.0
"""After trouble a worker has had the time to be heard again."""
_NEVER = float("-inf")
_LATEST_S = 2.0
"""How long after a router or a worker the log of etcd may hear of a revision."""
_TOLERANCE_S = 0.05
"""Clocks are one and the same here; a moment is read before or after what it is of."""


@dataclass(frozen=True)
class Broken:
    """Something that may not be, as a judge said it."""

    at: float
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.at:7.3f}  BROKEN {self.kind}: {self.text}"


class Recorded:
    """A follower as it was at the last record: what `Judge` reads of one."""

    def __init__(self, scope: Sequence[str]) -> None:
        self.scope = tuple(scope)
        self.epoch: str | None = None
        self.revision = -1
        self.is_synced = False
        self.items: Mapping[str, Item] = {}
        self._view = SimpleNamespace(digest=0, held={}, _items={})
        self.counters = SimpleNamespace(gaps=0, snapshots=0, overflows=0, epochs=0, corruptions=0)
        self._last: Seen | None = None

    def become(self, seen: Seen) -> None:
        """Be what was recorded."""
        self._last = seen
        self.epoch, self.revision, self.is_synced = seen.epoch, seen.revision, seen.is_synced
        self._view = SimpleNamespace(digest=seen.digest, held=seen.held, _items=seen.items)
        self.items = {**seen.items, **seen.held}
        self.counters = SimpleNamespace(**seen.counters)

    def state(self, _: float) -> StreamState:
        assert self._last
        return self._last.state

    def staleness_s(self, _: float) -> float:
        assert self._last
        return self._last.staleness_s


class Router:
    """One stream in one life of its router: what `Judge` asks of one."""

    def __init__(self, world: Replay, name: str, scope: Sequence[str]) -> None:
        self.world, self.scope = world, tuple(scope)
        self.process = SimpleNamespace(name=f"{name} of {'/'.join(scope)}", rate=1.0)
        self.follower = Recorded(scope)
        self.listens_to = None
        self.link = SimpleNamespace(hurt_at=_NEVER)
        self.reader = SimpleNamespace(has={})
        self.judge = Judge(self)

    def now(self) -> float:
        return self.world.now

    def tell(self, what: str) -> None:
        """Say nothing: the run has its own story."""

    def see(self, seen: Seen) -> None:
        """Judge a record."""
        before = self.follower._last
        if before is None or before.daemon != seen.daemon:
            self.judge.connected()
        self.follower.become(seen)
        self.judge.see(list(seen.shown))
        self.reader.has = {one.id: one for one in self.judge.shown.values()}


class Worker:
    """One life of a worker: what judges ask about it."""

    def __init__(self, world: Replay, instance_id: int, name: str, born_at: float) -> None:
        self.world, self.instance_id, self.name = world, instance_id, name
        self.troubles: list[tuple[float, float]] = [(born_at, born_at)]
        self.died_at = float("inf")
        self.since: dict[str, float] = {}
        self.owned: set[str] = set()

    @property
    def process(self) -> Any:
        return SimpleNamespace(is_running=self.world.now < self.died_at)

    @property
    def is_loyal(self) -> bool:
        """It lives, is heard, and has had the time to say so."""
        now = self.world.now
        is_troubled = any(begin <= now <= end + SETTLES_S for begin, end in self.troubles)
        return now < self.died_at and not is_troubled

    def did(self, did: Did) -> None:
        """Take in what it wrote down."""
        match did.what:
            case "has":
                self.owned.update(did.keys)
                for key in did.keys:
                    self.since.setdefault(key, did.at)
            case "removes" | "loses":
                if did.what == "loses" and not did.detail["is_conflict"]:
                    self.world.blame("false loss", f"{self.name}: {did.detail['why']}")
                for key in did.keys:
                    self.owned.discard(key)
                    self.since.pop(key, None)
                    self.world.truth.gone_on_purpose[key] = did.at
            case "registers":
                for key in did.keys:  # until it is told how that ended, it may be either
                    self.since.pop(key, None)
            case "is refused":
                self.world.refusals.append((self.name, did))
                for key in self.owned.intersection(did.keys):
                    self.since[key] = did.at


class Replay:
    """A run that is over, as a world that judges can look at."""

    is_guardless = is_orderly = is_traced = False
    corrupt = drift = 0.0
    tolerance_s = _TOLERANCE_S

    def __init__(self, fleet: Fleet, began_at: float) -> None:
        self.is_memory = fleet.schedule.is_memory
        self.now = began_at
        self.broken: list[Broken] = []
        self.counts: Counter[str] = Counter()
        self.workers: dict[int, Worker] = {}
        self.daemons: list[object] = []
        self.routers: dict[tuple[str, Sequence[str]], Router] = {}
        self.refusals: list[tuple[str, Did]] = []
        self.truth = Truth(self)
        self._fleet, self._began_at = fleet, began_at
        for instance_id, (name, born_at) in fleet.born.items():
            self.workers[instance_id] = Worker(self, instance_id, name, born_at)
        _note_troubles(self.workers, fleet.deeds.befell)

    # ---- what judges use

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def trace(self, who: str, what: str) -> None:
        """Keep no story."""

    def blame(self, kind: str, text: str, who: str = "") -> None:
        said = text if text.startswith(who) else f"{who}: {text}"
        self.broken.append(Broken(self.now - self._began_at, kind, said))

    def owner_of(self, key: str) -> Worker | None:
        return self.workers.get(int(key.split("/")[5], 16))

    def is_loyal(self, instance_id: int | None) -> bool:
        worker = self.workers.get(instance_id or 0)
        return worker is not None and worker.is_loyal

    # ---- the course of things

    def play(self) -> None:
        """Show everything that was written to the judges, in order of time."""
        for at, _, record, who in sorted(self._records(), key=itemgetter(0, 1)):
            self.now = at
            self._show(record, who)
        for name, did in self.refusals:  # when all is known: word of a refusal may come first
            self.now = did.at
            self._check_refusal(name, did)

    def _check_refusal(self, name: str, did: Did) -> None:
        """A conflict is only told when there was one, at some moment while it was asked."""
        said = did.detail
        assert said
        self.count("conflicts")
        until = did.at + _LATEST_S
        if said["count"] and not self.truth.had(  # with none, the models of the unit disagree
            said["endpoint"], said["incumbent"], since=said["asked_at"], until=until
        ):
            self.blame("false refusal", f"{name}: {said['text']}")

    def _show(self, record: Any, who: str) -> None:
        match record:
            case Batch():
                self.truth.take(record)
            case (str(epoch), int(revision)):
                self.truth.begin_with(epoch, revision, ())
            case Did():
                self.workers[int(who)].did(record)
            case Wrong():
                self.blame(record.kind, f"{who}: {record.text}")
            case Seen():
                self.count("records of routers")
                for worker in self.workers.values():
                    self.counts["chances to see a false removal"] += worker.is_loyal
                at = (who, record.scope)
                if at not in self.routers:
                    self.routers[at] = Router(self, who, record.scope)
                self.routers[at].see(record)

    def _records(self) -> Iterator[tuple[float, int, Any, str]]:
        """Yield time, order within a time, record, and whose it is."""
        first_seen: dict[tuple[str, int], float] = {}
        for path in self._fleet.records("router"):
            for record in records_of(path):
                if isinstance(record, Seen) and record.epoch is not None:
                    at = record.epoch, record.revision
                    first_seen[at] = min(first_seen.get(at, record.at), record.at)
                yield record.at, 2, record, path.name
        for path in self._fleet.records("worker"):
            _, index, life = path.name.split("-")
            for record in records_of(path):
                yield record.at, 1, record, str(int(index) + 1 + 0x100 * int(life))
        yield from self._truths(first_seen)

    def _truths(
        self, first_seen: Mapping[tuple[str, int], float]
    ) -> Iterator[tuple[float, int, Any, str]]:
        if self._fleet.log is None:
            for path in self._fleet.records("daemon"):
                for at, *record in records_of(path):
                    yield at, 0, record[0] if len(record) == 1 else tuple(record), ""
            return
        (_, epoch), *others = self._fleet.log.epochs
        if others:
            self.blame("time travel", f"etcd never went back, and other epochs began: {others}")
        yield self._began_at, 0, (epoch, 0), ""
        yield from _not_after_they_were_seen(self._fleet.log.batches, epoch, first_seen)

    def check_end(self, owned: Mapping[str, Sequence[str]]) -> None:
        """All faults are over and everybody is well: everybody knows everything.

        `owned` is what each worker believes to be registered.
        """
        entries = self.truth.line.moments[-1].entries
        self.truth.check_end()
        living = {w.name: i for i, w in self.workers.items() if w.process.is_running}
        for name, instance_id in living.items():
            there = {key for key, entry in entries.items() if entry.lease == instance_id}
            if there != set(owned[name]):
                wrong = sorted(there ^ set(owned[name]))
                self.blame("not healed", f"{name}: there and wanted differ: {wrong}")
        for (who, _), router in self.routers.items():
            if who in {actor.place.name for actor in self._fleet.running}:
                router.judge.check_end()


def _not_after_they_were_seen(
    batches: Iterable[tuple[float, Batch]], epoch: str, first_seen: Mapping[tuple[str, int], float]
) -> list[tuple[float, int, Batch, str]]:
    """Give each revision the time at which it was first known of: to the log, or to a router."""
    known_at = float("inf")
    timed = []
    for at, batch in reversed(list(batches)):
        seen_at = max(first_seen.get((epoch, batch.revision), at), at - _LATEST_S)
        known_at = min(known_at, at, seen_at)
        timed.append((known_at, 0, batch, ""))
    return timed[::-1]


def _note_troubles(workers: Mapping[int, Worker], befell: Iterable[Befell]) -> None:
    """Tell each worker's life what befell it, and when no daemon could be counted on."""
    faults = [fault for fault in befell if fault.what != "clock steps"]  # it must harm nobody
    for worker_id, worker in workers.items():
        for fault in faults:
            if fault.whom != worker.name:
                continue
            if fault.what == "killed" and fault.life == worker_id >> 8:
                worker.died_at = fault.began_at
            worker.troubles.append((fault.began_at, fault.ended_at))
    for span in _two_at_once([f for f in faults if f.whom.startswith("daemon")]):
        for worker in workers.values():
            worker.troubles.append(span)


def _two_at_once(faults: Sequence[Befell]) -> Iterator[tuple[float, float]]:
    """Yield when two daemons were in trouble: who leaves one for the other may come too late."""
    for one in faults:
        for other in faults:
            begin = max(one.began_at, other.began_at)
            end = min(one.ended_at, other.ended_at) + TTL_S
            if one.whom < other.whom and begin <= end:
                yield begin, max(one.ended_at, other.ended_at)
