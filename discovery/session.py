"""One process's lease and what is registered under it: the client's side. Sans-I/O.

The caller sends the `Call`s that `poll` returns, hands in their answers, and wakes at
`next_wakeup`. What was registered is kept in `Registrations`: when the lease is lost, a new one is
taken under the same instance id and all of it is registered again; so it is when the store's epoch
changes, since what had been confirmed may be lost with the tail of the old one, and when the lease
turns out to be another under the same token. Every attempt of a request has a number of its own, so
that a delayed copy of an old one is refused by the registry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from discovery.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    LeaseExpiredError,
    ResourceExhaustedError,
)
from discovery.events import Cause
from discovery.fields import Fields
from discovery.holding import Holding
from discovery.registrations import Registrations

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from discovery.errors import DiscoveryError
    from discovery.ids import InstanceId
    from discovery.jobqueue import Deed, Job
    from discovery.registrations import Failure, Outcome
    from discovery.spec import Spec

_ATTEMPT_S = 2.0


class LeaseState(StrEnum):
    """Where the lease of this process stands."""

    NONE = "none"
    GRANTING = "granting"
    HELD = "held"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a request; `answer` or `fail` it by its number.

    `is_urgent`: when it is not answered within `within_s`, there is no time for another attempt at
    the same daemon.
    """

    number: int
    op: str
    fields: Mapping[str, object]
    within_s: float
    is_urgent: bool = False


class Session:
    """Keeps the lease of `instance_id` once something is to be registered, and all under it."""

    def __init__(
        self, instance_id: int, ttl_s: float, *, rng: random.Random, tenant: str | None = None
    ) -> None:
        self.instance_id = instance_id
        self.ttl_s = ttl_s
        """TTL asked for; once granted, the one that the store made of it. Seconds."""
        self.state = LeaseState.NONE
        self.losses = 0
        self._rng = rng
        self._tenant = tenant
        self._lease = Holding(rng)
        self._lost_at = float("-inf")
        self._registrations = Registrations(instance_id)
        self._calls: dict[int, tuple[str, int]] = {}  # number -> (op, job)
        self._numbers = 0
        self._is_closing = False
        self._last_words: Mapping[str, object] = {}
        self._ground: tuple[str, int] = ("", 0)  # the epoch, and when the lease was granted
        self._lease_error: DiscoveryError | None = None

    # ---- what the application wants

    def register(self, specs: Sequence[Spec]) -> int:
        """Want `specs` registered as one unit; return the number that its outcome will have."""
        return self._registrations.register(specs)

    def unregister(self, ids: Sequence[InstanceId], detail: str | None = None) -> int:
        """Want `ids` gone, also after a loss of the lease; return the outcome's number."""
        return self._registrations.unregister(ids, detail)

    def do(self, deed: Deed) -> int:
        """Want a deed done; return the number that its outcome will have."""
        return self._registrations.do(deed)

    def undo(self, job_number: int, deed: Deed) -> None:
        """Take back a deed whose caller has gone, even if it was done before that was known."""
        self._registrations.undo(job_number, deed)

    def abandon(self, job_number: int) -> DiscoveryError | None:
        """Stop wanting a job whose caller has gone, and undo what it may have done.

        Returns what kept it from being done, if anything is known.
        """
        job = self._registrations.jobs.find(job_number)
        self._registrations.abandon(job_number)
        return (job.last_error or self._lease_error) if job else None

    def retract(self, job_number: int) -> None:
        """Undo a registration whose caller has gone, even if it was done before that was known."""
        self._registrations.retract(job_number)

    def close(self, cause: Cause = Cause.UNREGISTERED, detail: str | None = None) -> None:
        """Give the lease back, and with it all that is registered. No job is answered any more.

        Watchers are told the cause, and `detail` as evidence for it. Only the first call counts.
        """
        if self._is_closing:
            return
        self._is_closing = True
        self._last_words = {"cause": cause.value, "detail": detail}
        self._registrations.jobs.clear()
        self._calls.clear()  # whatever is still answered changes nothing any more
        self._lease.call, self._lease.retry_at = 0, float("-inf")

    # ---- what the caller drives

    @property
    def is_closing(self) -> bool:
        """Nothing is registered any more."""
        return self._is_closing

    @property
    def is_closed(self) -> bool:
        """Nothing is left to send."""
        return self.state is LeaseState.CLOSED

    @property
    def failures(self) -> Sequence[Failure]:
        """What was lost with a lease, was refused when put back, and is still not registered."""
        return self._registrations.failures

    def poll(self, now: float) -> list[Call]:
        """Return what to send now."""
        if self._is_closing:
            return self._poll_close(now)
        if self.state is not LeaseState.HELD:
            return self._poll_grant(now)
        calls = [self._send(number, job) for number, job in self._registrations.due(now)]
        lease = self._lease
        if not lease.call and lease.renew_at <= now:
            calls.append(self._send_renewal(now))
        return calls

    def next_wakeup(self) -> float:
        """Time at which `poll` may return something if nothing is answered before."""
        lease = self._lease
        if self.state is LeaseState.HELD and not self._is_closing:
            renew_at = float("inf") if lease.call else lease.renew_at
            return min(renew_at, self._registrations.jobs.next_due())
        is_wanted = self._registrations.jobs or self._is_closing
        if self.is_closed or not is_wanted or lease.call:
            return float("inf")
        return lease.retry_at

    def hurry(self, now: float) -> None:
        """Do at `now` what waits for its time, and renew the lease: a daemon was just reached."""
        self._registrations.jobs.hurry(now)
        self._lease.hurry(now)

    def answer(self, number: int, result: Mapping[str, object], now: float) -> None:
        """Take in the answer to a call. One that cannot be read counts as the daemon's fault.

        A lease counts from `now`: where answers take time, give the time at which was asked.
        """
        op, job = self._calls.pop(number, ("", 0))
        read = Fields("answer", dict(result))
        try:
            match op:
                case "grant" | "keep_alive":
                    self._renewed(read, now, is_new=op == "grant")
                case "revoke":
                    self.state = LeaseState.CLOSED
                case _ if self._registrations.jobs.is_attempted(job, number):
                    revision, epoch = read.integer("revision"), read.text("epoch")
                    self._registrations.done(job, revision, result)
                    self._note_ground(epoch, self._ground[1])
                case _:
                    pass  # the answer to an attempt that was given up
        except InvalidArgumentError as error:
            self._calls[number] = (op, job)
            self.fail(number, InternalError(str(error)), now)

    def fail(self, number: int, error: DiscoveryError, now: float) -> None:
        """Take in a refusal, or `UnavailableError` when no answer came."""
        op, job = self._calls.pop(number, ("", 0))
        is_lost = isinstance(error, LeaseExpiredError)
        match op:
            case "grant":
                self._not_granted(error, now)
            case "revoke":
                self._not_revoked(error, now)
            case _ if is_lost and op:
                self._lose(now)
            case "keep_alive":
                self._lease.retry_later(now)
            case _ if self._registrations.jobs.is_attempted(job, number):
                self._not_done(job, error, now)
            case _:
                pass

    def take_outcomes(self) -> list[Outcome]:
        """Return the jobs that ended since the last call."""
        return self._registrations.take_outcomes()

    def take_failures(self) -> list[Failure]:
        """Return the failures since the last call."""
        return self._registrations.take_failures()

    # ---- the lease

    def _poll_grant(self, now: float) -> list[Call]:
        lease = self._lease
        self._registrations.drop_removals()
        if not self._registrations.jobs or lease.call or lease.retry_at > now:
            return []
        if self.state is LeaseState.NONE:
            self.state = LeaseState.GRANTING
        return [self._send_lease("grant", {"ttl_s": self.ttl_s}, _ATTEMPT_S)]

    def _renewed(self, read: Fields, now: float, *, is_new: bool) -> None:
        ttl_s, renew_s, epoch = read.seconds("ttl_s"), read.seconds("renew_s"), read.text("epoch")
        is_draining, since = read.flag("draining"), read.integer("since")
        self.state, self.ttl_s, self._lease_error = LeaseState.HELD, ttl_s, None
        self._lease.renewed(renew_s, now)
        if is_new:
            self._ground = epoch, since  # what is owned is wanted already
        self._note_ground(epoch, since)
        if is_draining:
            why = f"process {self.instance_id:x}: draining, an operator has taken it out of service"
            self._registrations.give_up(FailedPreconditionError(why))

    def _note_ground(self, epoch: str, since: int) -> None:
        """Note where our records are, and register them again if that is not where they were.

        In another epoch the store may have lost what it had confirmed, or found it again. A lease
        that ended unnoticed, and that a late copy of our `grant` took anew, has none of them.
        """
        if (epoch, since) != self._ground:
            self._ground = epoch, since
            self._registrations.assert_again()

    def _not_granted(self, error: DiscoveryError, now: float) -> None:
        """Try again, unless it is hopeless.

        After a loss, the id may be held for a while by what is left of our own last lease, and what
        was registered before is not given up for a fault of the daemon's.
        """
        self._lease_error = error
        was_held = self.state is LeaseState.LOST
        is_left_over = isinstance(error, AlreadyExistsError) and now < self._lost_at + self.ttl_s
        if isinstance(error, LeaseExpiredError):  # it ended between two attempts
            self._lease.begin_anew()
        elif not error.retryable and not (
            was_held and (is_left_over or isinstance(error, InternalError))
        ):
            self._lease.call, self.state = 0, LeaseState.NONE
            self._registrations.refuse_all(error)
            return
        self._lease.retry_later(now)

    def _not_revoked(self, error: DiscoveryError, now: float) -> None:
        if error.retryable and not isinstance(error, LeaseExpiredError):
            self._lease.retry_later(now)
        else:
            self.state = LeaseState.CLOSED

    def _lose(self, now: float) -> None:
        """Forget the lease; everything registered under it is wanted anew."""
        self.state = LeaseState.LOST
        self.losses += 1
        self._lost_at = now
        self._lease = Holding(self._rng)
        self._calls.clear()  # what is answered to attempts under the old lease means nothing now
        self._registrations.begin_anew()

    # ---- jobs

    def _not_done(self, number: int, error: DiscoveryError, now: float) -> None:
        job = self._registrations.jobs[number]
        is_their_fault = isinstance(error, InternalError) and not job.is_for_caller
        if not error.retryable and not is_their_fault:
            self._registrations.refuse(number, error)
            return
        job.failures += 1
        asked_s = error.retry_after_s if isinstance(error, ResourceExhaustedError) else None
        retry_at = now + (asked_s or 0.0) + self._lease.backoff_s(job.failures)
        self._registrations.jobs.postpone(number, error, retry_at)

    # ---- calls

    def _poll_close(self, now: float) -> list[Call]:
        lease = self._lease
        if self.is_closed or lease.call or lease.retry_at > now:
            return []
        if not lease.has_token:
            self.state = LeaseState.CLOSED
            return []
        return [self._send_lease("revoke", self._last_words, _ATTEMPT_S)]

    def _send(self, job_number: int, job: Job) -> Call:
        self._numbers += 1
        self._registrations.jobs.sent(job_number, self._numbers)
        fields = {**self._proof(), "sequence": self._lease.next_sequence()}
        if job.deed:
            op, fields = job.deed.op, {**job.deed.fields, **fields}
        elif job.is_retention:
            op, fields["ids"] = "retain", self._registrations.spared()
        elif job.specs:
            op, fields["specs"] = "register", job.specs
            if self._tenant is not None:
                fields["tenant"] = self._tenant
        else:
            op, fields["ids"] = "unregister", job.ids
            if job.detail is not None:
                fields["detail"] = job.detail
        self._calls[self._numbers] = (op, job_number)
        return Call(self._numbers, op, fields, _ATTEMPT_S)

    def _send_renewal(self, now: float) -> Call:
        within_s = min(_ATTEMPT_S, self._lease.renew_s)
        # After this one and another here, a third at another daemon would come too late.
        is_urgent = now + 3 * within_s > self._lease.renewed_at + self.ttl_s
        return replace(self._send_lease("keep_alive", {}, within_s), is_urgent=is_urgent)

    def _send_lease(self, op: str, fields: Mapping[str, object], within_s: float) -> Call:
        self._numbers += 1
        self._lease.call = self._numbers
        self._calls[self._numbers] = (op, 0)
        return Call(self._numbers, op, {**self._proof(), **fields}, within_s)

    def _proof(self) -> dict[str, object]:
        return {"instance_id": self.instance_id, "token": self._lease.token()}
