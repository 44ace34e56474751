"""What one process wants done under its lease: what is, and what is under way. Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from discovery.jobqueue import Job, JobQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from discovery.errors import DiscoveryError
    from discovery.ids import InstanceId
    from discovery.jobqueue import Deed
    from discovery.spec import Spec


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


@dataclass(frozen=True, slots=True)
class _Owned:
    """A spec that is registered, by which unit, and whether it was new then."""

    unit: int
    spec: Spec
    was_new: bool


class Registrations:
    """What one process has registered, and what is to be done for that.

    Attributes:
        jobs: those under way, and those that wait.
        failures: what was registered, and could not be put back or was drained.
    """

    def __init__(self, instance_id: int) -> None:
        self.jobs = JobQueue()
        self.failures: list[Failure] = []
        self._instance_id = instance_id
        self._owned: dict[InstanceId, _Owned] = {}
        self._outcomes: list[Outcome] = []
        self._news: list[Failure] = []

    # ---- what is wanted

    def register(self, specs: Sequence[Spec]) -> int:
        """Want `specs` as one unit; return the number of the job."""
        return self.jobs.add(Job(touches=self._ids(specs), specs=tuple(specs), is_for_caller=True))

    def unregister(self, ids: Sequence[InstanceId], detail: str | None = None) -> int:
        """Want `ids` gone, from now on also after a loss of the lease; return the job's number.

        Watchers are told `detail`.
        """
        self._disown(ids)
        touches = list(dict.fromkeys(ids))
        job = Job(touches=touches, ids=tuple(ids), detail=detail, is_for_caller=True)
        return self.jobs.add(job)

    def do(self, deed: Deed) -> int:
        """Want a deed done; return the job's number."""
        return self.jobs.add(Job(deed=deed, is_for_caller=True))

    def undo(self, number: int, deed: Deed) -> None:
        """Take back a deed whose caller has gone, even if it was done before that was known."""
        if self.jobs.find(number):
            self.abandon(number)
        elif deed.undo:
            self.jobs.add(Job(deed=deed.undo))

    def abandon(self, number: int) -> None:
        """Stop wanting a job whose caller has gone: finish its removals, undo the rest."""
        job = self.jobs.find(number)
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
            self.jobs.end(number)

    def retract(self, number: int) -> None:
        """Undo a registration whose caller has gone, even if it was done before that was known.

        What it changed, and did not make, stays as it is.
        """
        self.abandon(number)
        ids = [i for i, owned in self._owned.items() if owned.unit == number and owned.was_new]
        if ids:
            self._disown(ids)
            self.jobs.add(Job(touches=ids, ids=ids))

    # ---- attempts

    def due(self, now: float) -> list[tuple[int, Job]]:
        """Return the jobs to be attempted now."""
        for number, job in list(self.jobs.ready()):
            self._refresh(number, job)
        return [(n, job) for n, job in self.jobs.ready() if job.retry_at <= now]

    def done(self, number: int, revision: int, answer: Mapping[str, object] | None = None) -> None:
        """Note that a job was carried out, and how a deed was answered."""
        job = self.jobs.end(number)
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

    def refuse(self, number: int, error: DiscoveryError) -> None:
        """Note that a job will never be done. What its attempts may have done is undone."""
        job = self.jobs[number]
        if job.is_reassertion and job.specs:
            self._note_failure(job.specs, error)
        if job.is_for_caller:
            self._outcomes.append(Outcome(number, error=error))
        if job.deed:
            self._give_up(number, job, job.deed)
        elif job.specs and job.may_be_there:
            self._undo(number, job)
        else:
            self.jobs.end(number)

    def refuse_all(self, error: DiscoveryError) -> None:
        """Note that nothing can be registered, since there is no lease and will be none."""
        for number, job in self.jobs.all():
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
        for number, job in self.jobs.idle():
            if job.is_reassertion:
                self.jobs.end(number)
        for specs in self._units():
            self.jobs.add(Job(touches=self._ids(specs), specs=specs, is_reassertion=True))
        self.jobs.add(Job(touches=(), is_reassertion=True, is_retention=True))

    def spared(self) -> list[InstanceId]:
        """Return what a retention is to leave: what is registered, or is to be.

        Of what is to be, another value may be there, and stays: if the job is refused, or its
        caller goes, that is undone as if an attempt had put it there.
        """
        asked = [job for _, job in self.jobs.all() if job.specs]
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
        waiting = [(n, job) for n, job in self.jobs.all() if not job.is_reassertion]
        self.jobs.clear()
        for specs in self._units():
            self.jobs.add(Job(touches=self._ids(specs), specs=specs, is_reassertion=True))
        for number, job in waiting:
            job.call, job.may_be_there = None, False
            job.retry_at = float("-inf")
            self.jobs.add_as(number, job)

    def drop_removals(self) -> None:
        """Call done what is to be removed: without a lease nothing of ours is registered."""
        for number, job in self.jobs.idle():
            if not (job.specs or job.deed) and self.jobs.is_first(number, job):
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
            self.jobs.end(number)

    def _note_failure(self, specs: Sequence[Spec], error: DiscoveryError) -> None:
        failure = Failure(specs, error)
        self.failures.append(failure)
        self._news.append(failure)
        self._disown(self._ids(specs))

    def _give_up(self, number: int, job: Job, deed: Deed) -> None:
        """Put what takes a deed back in its place, if it may have been done."""
        if deed.undo and job.may_be_there:
            self.jobs.replace(number, Job(deed=deed.undo))
        else:
            self.jobs.end(number)

    def _undo(self, number: int, job: Job) -> None:
        """Put in the job's place what takes it back: a removal, then what was there before.

        The removal is sent even if it removes nothing: a delayed attempt of the job is refused once
        it is done. Registering what is registered anyway would not do that.
        """
        before = [self._owned[i].spec for i in job.touches if i in self._owned]
        self.jobs.replace(number, Job(touches=job.touches, is_undoing=True))
        if before:
            again = Job(touches=self._ids(before), specs=before, is_reassertion=True)
            self.jobs.add_after(number, again)

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
