"""Jobs of one process, each in its turn. Sans-I/O.

Jobs that touch the same record are done one after another, in the order they were asked for: a
request that is repeated because its answer was lost must not undo a younger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

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


class JobQueue:
    """Jobs by number, in the order they were asked for, until they end."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._idle: dict[int, Job] = {}  # those without an attempt under way
        self._turns: dict[Hashable, list[int]] = {}  # jobs that touch a record, in order
        self._numbers = 0

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __getitem__(self, number: int) -> Job:
        return self._jobs[number]

    def find(self, number: int) -> Job | None:
        """Return a job that has not ended."""
        return self._jobs.get(number)

    def all(self) -> list[tuple[int, Job]]:
        """Return all jobs, with their numbers."""
        return list(self._jobs.items())

    def idle(self) -> list[tuple[int, Job]]:
        """Return those without an attempt under way."""
        return list(self._idle.items())

    def ready(self) -> Iterator[tuple[int, Job]]:
        """Yield those without an attempt under way whose turn it is."""
        return ((n, job) for n, job in self._idle.items() if self.is_first(n, job))

    def is_first(self, number: int, job: Job) -> bool:
        """Say whether it is a job's turn with all that it touches."""
        return all(self._turns[turn][0] == number for turn in job.turns)

    def next_due(self) -> float:
        """Time at which a job is to be attempted if nothing happens before."""
        return min((job.retry_at for _, job in self.ready()), default=float("inf"))

    # ---- changes

    def add(self, job: Job) -> int:
        """Take a job, the last in all of its turns; return its number."""
        self._numbers += 1
        self.add_as(self._numbers, job)
        return self._numbers

    def add_as(self, number: int, job: Job) -> None:
        """Take a job that has had a number, the last in all of its turns."""
        self._jobs[number] = self._idle[number] = job
        for turn in job.turns:
            self._turns.setdefault(turn, []).append(number)

    def add_after(self, number: int, job: Job) -> None:
        """Take a job that is next after another one in all of its turns, which that one has too."""
        self._numbers += 1
        self._jobs[self._numbers] = self._idle[self._numbers] = job
        for turn in job.turns:
            numbers = self._turns[turn]
            numbers.insert(numbers.index(number) + 1, self._numbers)

    def replace(self, number: int, job: Job) -> None:
        """Put a job in the place of another one, which had the same turns."""
        self._jobs[number] = self._idle[number] = job

    def end(self, number: int) -> Job:
        """Forget a job, and return it."""
        job = self._jobs.pop(number)
        self._idle.pop(number, None)
        for turn in job.turns:
            numbers = self._turns[turn]
            numbers.remove(number)
            if not numbers:
                del self._turns[turn]
        return job

    def clear(self) -> None:
        """Forget all jobs."""
        self._jobs, self._idle, self._turns = {}, {}, {}

    # ---- attempts

    def sent(self, number: int, call: int) -> None:
        """Note that an attempt of a job is under way."""
        job = self._idle.pop(number)
        job.call, job.may_be_there = call, True

    def is_attempted(self, number: int, call: int) -> bool:
        """Say whether `call` is the attempt under way of job `number`, not one given up since."""
        job = self._jobs.get(number)
        return job is not None and job.call == call

    def postpone(self, number: int, error: DiscoveryError, retry_at: float) -> None:
        """Note that an attempt got nowhere, or nobody knows how far."""
        job = self._jobs[number]
        job.call, job.last_error = None, error
        job.retry_at = retry_at
        self._idle[number] = job

    def hurry(self, now: float) -> None:
        """Let no job wait longer than until `now`."""
        for job in self._idle.values():
            job.retry_at = min(job.retry_at, now)
