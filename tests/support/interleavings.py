"""Every order in which contenders for one endpoint can take their steps on a store without guards.

Each call to the store is one step of the real `confirm_pending`. A state is reached by replaying
the choices that led there; states that agree in all that can matter are looked at once. The first
step is left out: it deletes what an earlier attempt may have left, and here there was none.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from discovery.errors import DiscoveryError
from discovery.events import Cause
from discovery.keys import PENDING_PREFIX
from discovery.pending import Contender, confirm_pending
from discovery.settings import LimitSettings
from discovery.store import Put
from discovery.unit import Unit
from tests.support.registries import contradict, identities
from tests.support.sample_specs import model_of
from tests.support.stores import GuardlessStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Coroutine, Generator, Sequence

    from discovery.identity import ModelIdentity

Choice = tuple[str, int]
"""What happens next: ("step", n), ("end", n): its lease ends, ("die", n): its daemon is gone."""


@types.coroutine
def _stop(call: str) -> Generator[str, None, None]:
    yield call


@dataclass
class Final:
    """How it all ended."""

    choices: Sequence[Choice]
    outcomes: Sequence[str]
    """For each contender "won", or the name of the error; "dead" for one whose daemon is gone."""
    confirmed: set[int]
    """Whose model is there."""
    ever: frozenset[int]
    """Whose model ever was there."""
    leftovers: int
    """Pending records that are there."""


@dataclass
class _Look:
    """How far a contender has got, and what it saw when it last looked."""

    commits: int = 0
    is_halfway: bool = False
    at: int = 0
    pending: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()

    def note(self, call: object, store: GuardlessStore) -> None:
        """Take note of a call that is now carried out."""
        if call == "commit":
            self.commits += 1
        elif call == "snapshot" and not self.is_halfway:
            self.at, self.pending = store.peek("").revision, _in_order(store, PENDING_PREFIX)
            self.is_halfway = True
        elif call == "snapshot":
            self.confirmed, self.is_halfway = _in_order(store, "v1/"), False

    def state(self, store: GuardlessStore) -> object:
        has_news = bool(self.at and store.since(PENDING_PREFIX, self.at))
        return (self.commits, self.is_halfway, has_news, self.pending, self.confirmed)


def _in_order(store: GuardlessStore, prefix: str) -> tuple[str, ...]:
    """Return the keys under a prefix in the order in which they were made."""
    entries = store.peek(prefix).entries
    return tuple(entry.key for entry in sorted(entries, key=lambda entry: entry.created))


class Run:
    """Contenders on a fresh store, brought to where `choices` lead."""

    def __init__(self, models: Sequence[ModelIdentity], choices: Sequence[Choice]) -> None:
        self.store = GuardlessStore()
        self.choices: tuple[Choice, ...] = ()
        self.ever: frozenset[int] = frozenset()
        self.outcomes = ["" for _ in models]
        self.crashed: set[int] = set()
        self._waits: list[str | asyncio.Future[Any]] = ["" for _ in models]
        self._looks = [_Look() for _ in models]
        self._coros: list[Coroutine[Any, Any, int]] = []
        for number, found in enumerate(models):
            _finish(self.store.grant(number + 1, 3600.0))
            self._coros.append(self._contend(number + 1, found))
        self.store.before = _stop
        for number in range(len(models)):
            self._step(number)  # up to its first call
            self._step(number)  # which changes nothing
        for choice in choices:
            self.take(choice)

    def _contend(self, lease_id: int, found: ModelIdentity) -> Coroutine[Any, Any, int]:
        unit = Unit.of([model_of(found)], lease_id, "a", LimitSettings())
        ops = [Put(key, value, lease_id) for key, value in unit.records.items()]
        contender = Contender(instance_id=lease_id, unit=unit, newcomers=unit.models, ops=ops)
        return confirm_pending(self.store, contender, since_ms=lambda _: 0)

    def close(self) -> None:
        for coro in self._coros:
            coro.close()
        _finish(self.store.__aexit__())

    def take(self, choice: Choice) -> None:
        """Let something happen."""
        self.choices += (choice,)
        match choice:
            case ("step", number):
                self._step(number)
            case ("end", number):
                self.crashed.add(number)
                self.store._end(number + 1, Cause.LEASE_EXPIRED)
            case ("die", number):
                self.crashed.add(number)
                self._coros[number].close()
                self.outcomes[number] = "dead"
        assert not contradict(identities(self.store.peek("").entries)), self.choices
        self.ever |= self.confirmed()

    def _step(self, number: int) -> None:
        self._looks[number].note(self._waits[number], self.store)
        try:
            self._waits[number] = self._coros[number].send(None)
        except StopIteration:
            self.outcomes[number] = "won"
        except DiscoveryError as error:
            self.outcomes[number] = type(error).__name__

    def confirmed(self) -> frozenset[int]:
        entries = self.store.peek("v1/").entries
        return frozenset(entry.lease - 1 for entry in entries if entry.lease is not None)

    def choices_now(self, crashes: Collection[int], *, may_die: bool) -> list[Choice]:
        """Return what can happen next; at most one of `crashes` crashes."""
        running = [n for n, outcome in enumerate(self.outcomes) if not outcome]
        found = [("step", n) for n in running if not self._is_blocked(n)]
        for number in crashes:
            if self.crashed <= {number}:
                if number + 1 in self.store._leases:
                    found.append(("end", number))
                if may_die and number in running:
                    found.append(("die", number))
        return found

    def _is_blocked(self, number: int) -> bool:
        wait = self._waits[number]
        return not isinstance(wait, str) and not wait.done()

    def is_over(self) -> bool:
        """Nobody will do anything any more by himself."""
        return all(self.outcomes)

    def state(self) -> object:
        """Return all that can matter from here on; of revisions, only their order does."""
        waits = tuple(w if isinstance(w, str) else w.done() for w in self._waits)
        leases, crashed = tuple(self.store._leases), frozenset(self.crashed)
        looks = tuple(look.state(self.store) for look in self._looks)
        there = _in_order(self.store, "")
        return (there, leases, waits, looks, tuple(self.outcomes), self.ever, crashed)

    def final(self) -> Final:
        leftovers = len(self.store.peek("pending/").entries)
        return Final(self.choices, self.outcomes, set(self.confirmed()), self.ever, leftovers)


@dataclass
class Explored:
    """All that can come of it."""

    finals: list[Final] = field(default_factory=list)
    stuck: list[Sequence[Choice]] = field(default_factory=list)
    """Where contenders wait for each other, or for a crashed one whose lease lives on."""
    states: int = 0


def explore(
    models: Sequence[ModelIdentity], *, crashes: Collection[int] = (), may_die: bool = True
) -> Explored:
    """Try every interleaving; fails at once where two models that may not be are visible."""
    found, seen = Explored(), set[object]()
    todo: list[tuple[Choice, ...]] = [()]
    while todo:
        run = Run(models, todo.pop())
        while (state := run.state()) not in seen:
            seen.add(state)
            following = run.choices_now(crashes, may_die=may_die)
            if run.is_over():
                found.finals.append(run.final())
            elif not any(what == "step" for what, _ in following):
                found.stuck.append(run.choices)
            if not following:
                break
            todo += [(*run.choices, choice) for choice in following[1:]]
            run.take(following[0])
        run.close()
    found.states = len(seen)
    return found


def _finish(coro: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that does not wait for anything."""
    try:
        coro.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")
