"""What one process wants done under its lease: what is, and what is under way. Sans-I/O.

Jobs that touch the same record are done one after another, in the order they were asked for: a
request that is repeated because its answer was lost must not undo a younger one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from discovery.errors import DiscoveryError
    from discovery.ids import InstanceId
    from discovery.spec import Spec


@dataclass(frozen=True, slots=True)
class Deed:
    """A request under the lease that registers nothing, by name and fields.

    It has its turn with others about the same `subject`. `undo` takes back what it may have done,
    for a caller who has gone.
    """

    op: str
    fields: Mapping[str, object]
    subject: str
    undo: Deed | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: at a revision, or with an error. `answer` is that to a deed."""

    job: int
    revision: int = 0
    error: DiscoveryError | None = None
    answer: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Specs that were registered: refused when put back after a loss of the lease, or drained."""

    specs: Sequence[Spec]
    error: DiscoveryError


@dataclass(slots=True, kw_only=True)
class Job:
    """A registration (of `specs`), removal (of `ids`) or deed, wanted until it is answered.

    It has its turn with the records it `touches`. `call` is the attempt under way. A job that was
    sent `may_be_there`: a refusal does not say that no copy of the request is still on its way.
    What a reassertion registers is what is owned when it is sent, what `is_undoing` removes is what
    is not. `is_retention`: all that is not wanted is to be removed.
    """

    touches: Sequence[InstanceId] = ()
    deed: Deed | None = None
    specs: Sequence[Spec] = ()
    ids: Sequence[InstanceId] = ()
    detail: str | None = None
    is_reassertion: bool = False
    is_retention: bool = False
    is_undoing: bool = False
    is_for_caller: bool = False
    call: int | None = None
    may_be_there: bool = False
    retry_at: float = float("-inf")
    failures: int = 0
    last_error: DiscoveryError | None = None

    @property
    def turns(self) -> Sequence[Hashable]:
        """What it must not be done at once with others about."""
        return (self.deed.subject,) if self.deed else self.touches


@dataclass(frozen=True, slots=True)
class _Owned:
    """A spec that is registered, by which unit, and whether it was new then."""

    unit: int
    spec: Spec
    was_new: bool


class Registrations:
    """The jobs of one process, and what it has registered by them."""

    def __init__(self, instance_id: int) -> None:
        self.failures: list[Failure] = []
        self._instance_id = instance_id
        self._jobs: dict[int, Job] = {}
        self._idle: dict[int, Job] = {}  # those without an attempt under way
        self._turns: dict[Hashable, list[int]] = {}  # jobs that touch a record, in order
        self._owned: dict[InstanceId, _Owned] = {}
        self._numbers = 0
        self._outcomes: list[Outcome] = []
        self._news: list[Failure] = []

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __getitem__(self, number: int) -> Job:
        return self._jobs[number]

    def find(self, number: int) -> Job | None:
        """Return a job that has not ended."""
        return self._jobs.get(number)

    # ---- what is wanted

    def register(self, specs: Sequence[Spec]) -> int:
        """Want `specs` as one unit; return the number of the job."""
        return self._add(Job(touches=self._ids(specs), specs=tuple(specs), is_for_caller=True))

    def unregister(self, ids: Sequence[InstanceId], detail: str | None = None) -> int:
        """Want `ids` gone, from now on also after a loss of the lease; return the job's number.

        Watchers are told `detail`.
        """
        self._disown(ids)
        touches = list(dict.fromkeys(ids))
        job = Job(touches=touches, ids=tuple(ids), detail=detail, is_for_caller=True)
        return self._add(job)

    def do(self, deed: Deed) -> int:
        """Want a deed done; return the job's number."""
        return self._add(Job(deed=deed, is_for_caller=True))

    def undo(self, number: int, deed: Deed) -> None:
        """Take back a deed whose caller has gone, even if it was done before that was known."""
        if number in self._jobs:
            self.abandon(number)
        elif deed.undo:
            self._add(Job(deed=deed.undo))

    def abandon(self, number: int) -> None:
        """Stop wanting a job whose caller has gone: finish its removals, undo the rest."""
        job = self._jobs.get(number)
        if job is None:
            return
        if job.deed:
            if job.is_for_caller:
                self._give_up(number, job, job.deed)
        elif not job.specs:
            job.is_for_caller = False
        elif job.may_be_there:
            self._undo(number, job)
        else:
            self._end(number)

    def retract(self, number: int) -> None:
        """Undo a registration whose caller has gone, even if it was done before that was known.

        What it changed, and did not make, stays as it is.
        """
        self.abandon(number)
        ids = [i for i, owned in self._owned.items() if owned.unit == number and owned.was_new]
        if ids:
            self._disown(ids)
            self._add(Job(touches=ids, ids=ids))

    def clear(self) -> None:
        """Forget all jobs; nobody is told."""
        self._jobs, self._idle, self._turns = {}, {}, {}

    # ---- attempts

    def due(self, now: float) -> list[tuple[int, Job]]:
        """Return the jobs to be attempted now."""
        for number, job in list(self._ready()):
            self._refresh(number, job)
        return [(n, job) for n, job in self._ready() if job.retry_at <= now]

    def next_due(self) -> float:
        """Time at which a job is to be attempted if nothing happens before."""
        return min((job.retry_at for _, job in self._ready()), default=float("inf"))

    def hurry(self, now: float) -> None:
        """Let no job wait longer than until `now`."""
        for job in self._idle.values():
            job.retry_at = min(job.retry_at, now)

    def sent(self, number: int, call: int) -> None:
        """Note that an attempt of a job is under way."""
        job = self._idle.pop(number)
        job.call, job.may_be_there = call, True

    def is_attempted(self, number: int, call: int) -> bool:
        """Say whether `call` is the attempt under way of job `number`, not one given up since."""
        job = self._jobs.get(number)
        return job is not None and job.call == call

    def done(self, number: int, revision: int, answer: Mapping[str, object] | None = None) -> None:
        """Note that a job was carried out, and how a deed was answered."""
        job = self._end(number)
        if not job.is_undoing:
            self._disown(job.ids)
        registered = {spec.id(self._instance_id): spec for spec in job.specs}
        for identity, spec in registered.items():
            was_new = identity not in self._owned
            self._owned[identity] = _Owned(number, spec, was_new)
        if self.failures:
            self._forgive(registered)
        if job.is_for_caller:
            self._outcomes.append(Outcome(number, revision, answer=answer or {}))

    def postpone(self, number: int, error: DiscoveryError, retry_at: float) -> None:
        """Note that an attempt got nowhere, or nobody knows how far."""
        job = self._jobs[number]
        job.call, job.last_error = None, error
        job.retry_at = retry_at
        self._idle[number] = job

    def refuse(self, number: int, error: DiscoveryError) -> None:
        """Note that a job will never be done. What its attempts may have done is undone."""
        job = self._jobs[number]
        if job.is_reassertion and job.specs:
            self._note_failure(job.specs, error)
        if job.is_for_caller:
            self._outcomes.append(Outcome(number, error=error))
        if job.deed:
            self._give_up(number, job, job.deed)
        elif job.specs and job.may_be_there:
            self._undo(number, job)
        else:
            self._end(number)

    def refuse_all(self, error: DiscoveryError) -> None:
        """Note that nothing can be registered, since there is no lease and will be none."""
        for number, job in list(self._jobs.items()):
            if job.specs or job.deed:
                job.may_be_there = False  # nothing was done without a lease
                self.refuse(number, error)

    def take_outcomes(self) -> list[Outcome]:
        """Return how jobs ended since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def take_failures(self) -> list[Failure]:
        """Return the failures since the last call."""
        news, self._news = self._news, []
        return news

    # ---- leases

    def assert_again(self) -> None:
        """Want registered again what is, and removed what is not wanted.

        The lease is held, but the store may have lost what was done, or some of it.
        """
        for number, job in list(self._idle.items()):
            if job.is_reassertion:
                self._end(number)
        for specs in self._units():
            self._add(Job(touches=self._ids(specs), specs=specs, is_reassertion=True))
        self._add(Job(touches=(), is_reassertion=True, is_retention=True))

    def spared(self) -> list[InstanceId]:
        """Return what a retention is to leave: what is registered, or is to be.

        Of what is to be, another value may be there, and stays: if the job is refused, or its
        caller goes, that is undone as if an attempt had put it there.
        """
        asked = [job for job in self._jobs.values() if job.specs]
        for job in asked:
            job.may_be_there = True
        touched = (identity for job in asked for identity in job.touches)
        return list(dict.fromkeys((*self._owned, *touched)))

    def give_up(self, error: DiscoveryError) -> None:
        """Note that what was registered has been taken away for good, and why."""
        for specs in self._units():
            self._note_failure(specs, error)

    def begin_anew(self) -> None:
        """The lease is lost: all that was registered is wanted again, before what was waiting."""
        waiting = [(n, job) for n, job in self._jobs.items() if not job.is_reassertion]
        self.clear()
        for specs in self._units():
            self._add(Job(touches=self._ids(specs), specs=specs, is_reassertion=True))
        for number, job in waiting:
            job.call, job.may_be_there = None, False
            job.retry_at = float("-inf")
            self._queue(number, job)

    def drop_removals(self) -> None:
        """Call done what is to be removed: without a lease nothing of ours is registered."""
        for number, job in list(self._idle.items()):
            if not (job.specs or job.deed) and self._is_first(number, job):
                self.done(number, 0)

    # ---- inside

    def _units(self) -> list[list[Spec]]:
        """Return what is registered, in the units in which it was."""
        units: dict[int, list[Spec]] = {}
        for owned in self._owned.values():
            units.setdefault(owned.unit, []).append(owned.spec)
        return list(units.values())

    def _refresh(self, number: int, job: Job) -> None:
        """Let a reassertion stand for what is owned now; it ends if that is nothing.

        And let what undoes a job remove what is not owned now: jobs before it may have ended since.
        """
        if job.is_undoing:
            job.ids = [i for i in job.touches if i not in self._owned]
        if not job.is_reassertion or job.is_retention:
            return
        job.specs = [self._owned[i].spec for i in job.touches if i in self._owned]
        if not job.specs:
            self._end(number)

    def _note_failure(self, specs: Sequence[Spec], error: DiscoveryError) -> None:
        failure = Failure(specs, error)
        self.failures.append(failure)
        self._news.append(failure)
        self._disown(self._ids(specs))

    def _add(self, job: Job) -> int:
        self._numbers += 1
        self._queue(self._numbers, job)
        return self._numbers

    def _queue(self, number: int, job: Job) -> None:
        self._jobs[number] = self._idle[number] = job
        for identity in job.turns:
            self._turns.setdefault(identity, []).append(number)

    def _end(self, number: int) -> Job:
        job = self._jobs.pop(number)
        self._idle.pop(number, None)
        for identity in job.turns:
            turns = self._turns[identity]
            turns.remove(number)
            if not turns:
                del self._turns[identity]
        return job

    def _give_up(self, number: int, job: Job, deed: Deed) -> None:
        """Put what takes a deed back in its place, if it may have been done."""
        if deed.undo and job.may_be_there:
            self._jobs[number] = self._idle[number] = Job(deed=deed.undo)
        else:
            self._end(number)

    def _undo(self, number: int, job: Job) -> None:
        """Put in the job's place what takes it back: a removal, then what was there before.

        The removal is sent even if it removes nothing: a delayed attempt of the job is refused once
        it is done. Registering what is registered anyway would not do that.
        """
        before = [self._owned[i].spec for i in job.touches if i in self._owned]
        self._jobs[number] = self._idle[number] = Job(touches=job.touches, is_undoing=True)
        if before:
            self._numbers += 1
            again = Job(touches=self._ids(before), specs=before, is_reassertion=True)
            self._jobs[self._numbers] = self._idle[self._numbers] = again
            for identity in again.touches:
                turns = self._turns[identity]
                turns.insert(turns.index(number) + 1, self._numbers)

    def _ready(self) -> Iterator[tuple[int, Job]]:
        return ((n, job) for n, job in self._idle.items() if self._is_first(n, job))

    def _is_first(self, number: int, job: Job) -> bool:
        return all(self._turns[identity][0] == number for identity in job.turns)

    def _ids(self, specs: Iterable[Spec]) -> list[InstanceId]:
        return list(dict.fromkeys(spec.id(self._instance_id) for spec in specs))

    def _disown(self, ids: Iterable[InstanceId]) -> None:
        for identity in ids:
            self._owned.pop(identity, None)

    def _forgive(self, registered: Iterable[InstanceId]) -> None:
        """Forget failures of what is registered after all."""
        here, failures = set(registered), self.failures
        self.failures = []
        for failure in failures:
            left = [s for s in failure.specs if s.id(self._instance_id) not in here]
            if left:
                self.failures.append(Failure(left, failure.error))
