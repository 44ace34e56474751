from __future__ import annotations

import random
from typing import Any

import pytest

from discovery.errors import (
    AlreadyExistsError,
    DiscoveryError,
    InternalError,
    InvalidArgumentError,
    LeaseExpiredError,
    ModelConflictError,
    ResourceExhaustedError,
    StaleRequestError,
    UnavailableError,
)
from discovery.events import Cause
from discovery.jobqueue import Deed
from discovery.session import Call, LeaseState, Session
from tests.support.model_registry import REFUSED, ModelRegistry
from tests.support.specs import endpoint

GRANTED = {"ttl_s": 10.0, "renew_s": 3.0, "epoch": "e1", "draining": False, "since": 1}
LOST = LeaseExpiredError("ended")
NOTHING = UnavailableError("no answer")
FOREVER = float("inf")


def new_session() -> Session:
    return Session(0xA, 10.0, rng=random.Random(1))


def done(revision: int, epoch: str = "e1") -> dict[str, object]:
    return {"revision": revision, "epoch": epoch}


def only(calls: list[Call]) -> Call:
    (call,) = calls
    return call


def granted(now: float = 0.0) -> Session:
    """Return a session that holds a lease, with nothing registered."""
    session = new_session()
    job = session.register([endpoint()])
    session.answer(only(session.poll(now)).number, GRANTED, now)
    session.answer(only(session.poll(now)).number, done(2), now)
    session.unregister([endpoint().id(0xA)])
    session.answer(only(session.poll(now)).number, done(3), now)
    assert session.take_outcomes()[0].job == job
    return session


def registered(*names: str, now: float = 0.0) -> Session:
    """Return a session with one unit for each name."""
    session = granted(now)
    for name in names:
        session.register([endpoint(name)])
    for call in session.poll(now):
        session.answer(call.number, done(4), now)
    session.take_outcomes()
    return session


def fence(session: Session, now: float) -> Call:
    """Answer the removal after a refusal: no copy of what was refused is done later."""
    call = only(session.poll(now))
    assert call.op == "unregister"
    session.answer(call.number, done(9), now)
    return call


def names(call: Call) -> list[str]:
    if call.op == "register":
        return [spec.endpoint for spec in call.fields["specs"]]  # type: ignore[attr-defined]
    return [identity.endpoint for identity in call.fields["ids"]]  # type: ignore[attr-defined]


# ---- the lease


def test_a_session_that_registers_nothing_sends_nothing():
    session = new_session()
    assert session.poll(0.0) == []
    assert session.next_wakeup() == FOREVER
    assert session.state is LeaseState.NONE


def test_the_first_registration_takes_a_lease_and_then_registers():
    session = new_session()
    job = session.register([endpoint()])
    grant = only(session.poll(0.0))
    assert (grant.op, grant.fields["ttl_s"], grant.fields["instance_id"]) == ("grant", 10.0, 0xA)
    assert len(str(grant.fields["token"])) == 32
    assert session.state is LeaseState.GRANTING
    assert session.poll(0.0) == []
    assert session.next_wakeup() == FOREVER
    session.answer(grant.number, GRANTED | {"ttl_s": 20}, 1.0)
    assert (session.state, session.ttl_s) == (LeaseState.HELD, 20.0)
    register = only(session.poll(1.0))
    assert (register.op, names(register), register.fields["sequence"]) == (
        "register",
        ["generate"],
        1,
    )
    session.answer(register.number, done(7), 1.0)
    (outcome,) = session.take_outcomes()
    assert (outcome.job, outcome.revision, outcome.error) == (job, 7, None)
    assert session.take_outcomes() == []


def test_a_lease_is_renewed_earlier_than_asked_for_and_again():
    session = granted()
    wakeup = session.next_wakeup()
    assert 0.8 * 3.0 <= wakeup <= 3.0
    assert session.poll(wakeup - 0.01) == []
    call = only(session.poll(wakeup))
    assert (call.op, call.within_s) == ("keep_alive", 2.0)
    assert session.next_wakeup() == FOREVER
    session.answer(call.number, GRANTED, wakeup)
    assert session.next_wakeup() > wakeup


def test_a_failed_renewal_is_repeated_sooner_than_the_next_one_was_due():
    session = granted()
    now = session.next_wakeup()
    for _ in range(20):
        session.fail(only(session.poll(now)).number, NOTHING, now)
        assert session.next_wakeup() - now <= 1.0
        now = session.next_wakeup()
    assert session.state is LeaseState.HELD


def test_retries_of_a_short_lease_come_faster_than_its_renewals():
    session = new_session()
    session.register([endpoint()])
    session.answer(only(session.poll(0.0)).number, GRANTED | {"ttl_s": 1.0, "renew_s": 0.3}, 0.0)
    session.answer(only(session.poll(0.0)).number, done(1), 0.0)
    now = session.next_wakeup()
    for _ in range(20):
        session.fail(only(session.poll(now)).number, NOTHING, now)
        assert session.next_wakeup() - now <= 0.3
        now = session.next_wakeup()


def test_an_unanswered_grant_is_repeated_with_the_same_token():
    session = new_session()
    session.register([endpoint()])
    first = only(session.poll(0.0))
    session.fail(first.number, NOTHING, 0.0)
    assert 0.0 <= session.next_wakeup() <= 1.0
    second = only(session.poll(1.0))
    assert second.fields["token"] == first.fields["token"]


def test_a_grant_that_ended_meanwhile_is_asked_for_with_another_token():
    session = new_session()
    session.register([endpoint()])
    first = only(session.poll(0.0))
    session.fail(first.number, LOST, 0.0)
    second = only(session.poll(1.0))
    assert second.op == "grant"
    assert second.fields["token"] != first.fields["token"]


def test_a_refused_grant_refuses_what_waits_for_it_and_the_next_one_asks_again():
    session = new_session()
    job = session.register([endpoint()])
    session.fail(only(session.poll(0.0)).number, AlreadyExistsError("held"), 0.0)
    (outcome,) = session.take_outcomes()
    assert outcome.job == job
    assert isinstance(outcome.error, AlreadyExistsError)
    assert session.state is LeaseState.NONE
    assert session.poll(9.0) == []
    session.register([endpoint()])
    assert only(session.poll(9.0)).op == "grant"


def test_what_is_to_be_removed_behind_a_refused_registration_is_done():
    session = new_session()
    session.register([endpoint()])
    removal = session.unregister([endpoint().id(0xA)])
    session.fail(only(session.poll(0.0)).number, AlreadyExistsError("held"), 0.0)
    assert session.poll(0.0) == []
    assert [(o.job, o.error) for o in session.take_outcomes()][-1] == (removal, None)


@pytest.mark.parametrize("answer", [{}, {"ttl_s": 1.0}, {"ttl_s": "1", "renew_s": 1.0}])
def test_an_unreadable_grant_is_the_daemons_fault(answer):
    session = new_session()
    session.register([endpoint()])
    session.answer(only(session.poll(0.0)).number, answer, 0.0)
    (outcome,) = session.take_outcomes()
    assert isinstance(outcome.error, InternalError)


@pytest.mark.parametrize(
    "answer", [{"ttl_s": 1.0, "renew_s": 0.0}, {"ttl_s": -1.0, "renew_s": 1.0}, {"ttl_s": 1.0}]
)
def test_an_unreadable_renewal_is_repeated(answer):
    session = granted()
    now = session.next_wakeup()
    session.answer(only(session.poll(now)).number, answer, now)
    assert session.state is LeaseState.HELD
    assert only(session.poll(now + 1.0)).op == "keep_alive"


# ---- losing it


@pytest.mark.parametrize("op", ["keep_alive", "register", "unregister"])
def test_whichever_call_finds_the_lease_lost_everything_is_registered_again(op):
    session = registered("a", "b")
    now = session.next_wakeup()
    if op == "register":
        session.register([endpoint("c")])
    if op == "unregister":
        session.unregister([endpoint("b").id(0xA)])
    call = next(c for c in session.poll(now) if c.op == op)
    session.fail(call.number, LOST, now)
    assert (session.state, session.losses) == (LeaseState.LOST, 1)
    grant = only(session.poll(now))
    assert grant.op == "grant"
    assert grant.fields["token"] != call.fields["token"]
    session.answer(grant.number, GRANTED, now)
    again = session.poll(now)
    expected = {"keep_alive": ["a", "b"], "register": ["a", "b", "c"], "unregister": ["a"]}
    assert [n for c in again for n in names(c)] == expected[op]
    assert all(c.op == "register" for c in again)
    assert [c.fields["sequence"] for c in again] == list(range(1, len(again) + 1))


def test_units_come_back_as_they_were_and_in_their_order():
    session = granted()
    session.register([endpoint("a"), endpoint("b")])
    session.register([endpoint("c")])
    for call in session.poll(0.0):
        session.answer(call.number, done(4), 0.0)
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.answer(only(session.poll(now)).number, GRANTED, now)
    assert [names(c) for c in session.poll(now)] == [["a", "b"], ["c"]]


def test_what_was_removed_is_not_registered_again():
    session = registered("a", "b")
    now = session.next_wakeup()
    job = session.unregister([endpoint("a").id(0xA)])
    calls = {c.op: c for c in session.poll(now)}
    session.fail(calls["keep_alive"].number, LOST, now)
    grant = only(session.poll(now))
    assert [o.job for o in session.take_outcomes()] == [job]  # without a lease it is gone
    session.answer(calls["unregister"].number, done(9), now)  # late, of the old lease
    session.answer(grant.number, GRANTED, now)
    assert [names(c) for c in session.poll(now)] == [["b"]]


def test_a_removal_asked_for_while_a_registration_was_under_way_holds_after_a_loss():
    session = granted()
    session.register([endpoint("a")])
    first = only(session.poll(0.0))
    session.unregister([endpoint("a").id(0xA)])
    assert session.poll(0.0) == []  # one after the other
    session.answer(first.number, done(4), 0.0)
    removal = only(session.poll(0.0))
    session.answer(removal.number, done(5), 0.0)
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    assert session.poll(now) == []


def test_a_registration_and_its_removal_keep_their_order_across_a_loss():
    session = granted()
    session.register([endpoint("a")])
    first = only(session.poll(0.0))
    removal = session.unregister([endpoint("a").id(0xA)])
    session.fail(first.number, LOST, 0.0)
    grant = only(session.poll(0.0))
    assert session.take_outcomes() == []
    session.answer(grant.number, GRANTED, 0.0)
    again = only(session.poll(0.0))
    assert again.op == "register"
    session.answer(again.number, done(9), 0.0)
    last = only(session.poll(0.0))
    assert (last.op, names(last)) == ("unregister", ["a"])
    session.answer(last.number, done(10), 0.0)
    assert [o.job for o in session.take_outcomes()][-1] == removal


def test_a_lease_lost_again_while_things_are_put_back_is_taken_again():
    session = registered("a")
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.answer(only(session.poll(now)).number, GRANTED, now)
    session.fail(only(session.poll(now)).number, LOST, now)
    assert session.losses == 2
    session.answer(only(session.poll(now)).number, GRANTED, now)
    assert names(only(session.poll(now))) == ["a"]


@pytest.mark.parametrize("kind", [AlreadyExistsError, InternalError])
def test_what_is_left_of_our_own_lease_does_not_cost_us_our_registrations(kind):
    session = registered("a")
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.fail(only(session.poll(now)).number, kind("held by another process"), now)
    assert session.failures == []
    session.answer(only(session.poll(now + 1.0)).number, GRANTED, now + 1.0)
    assert names(only(session.poll(now + 1.0))) == ["a"]


def test_an_id_that_another_process_keeps_is_given_up_after_a_ttl():
    session = registered("a")
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    now += session.ttl_s + 0.1
    session.fail(only(session.poll(now)).number, AlreadyExistsError("held"), now)
    (failure,) = session.failures
    assert [spec.endpoint for spec in failure.specs] == ["a"]
    assert session.take_failures() == [failure]
    assert session.take_failures() == []
    assert session.next_wakeup() == FOREVER


def test_a_refused_return_is_a_failure_and_is_not_tried_again():
    session = registered("a", "b")
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.answer(only(session.poll(now)).number, GRANTED, now)
    first, second = session.poll(now)
    conflict = ModelConflictError(requested="x", endpoint="e", incumbent="y")
    session.fail(first.number, conflict, now)
    session.answer(second.number, done(9), now)
    assert [f.error for f in session.failures] == [conflict]
    fence(session, now)
    assert session.take_outcomes() == []  # nobody waits for it
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.answer(only(session.poll(now)).number, GRANTED, now)
    assert names(only(session.poll(now))) == ["b"]


def test_a_failure_ends_when_its_specs_are_registered_after_all():
    session = granted()
    session.register([endpoint("a"), endpoint("b")])
    session.answer(only(session.poll(0.0)).number, done(4), 0.0)
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.answer(only(session.poll(now)).number, GRANTED, now)
    session.fail(only(session.poll(now)).number, AlreadyExistsError("x"), now)
    fence(session, now)
    session.register([endpoint("a")])
    session.answer(only(session.poll(now)).number, done(9), now)
    assert [[s.endpoint for s in f.specs] for f in session.failures] == [["b"]]
    session.register([endpoint("b")])
    session.answer(only(session.poll(now)).number, done(9), now)
    assert session.failures == []


# ---- jobs


@pytest.mark.parametrize("error", [NOTHING, StaleRequestError("overtaken")])
def test_a_job_that_is_not_done_is_repeated_with_a_number_of_its_own(error):
    session = granted()
    session.register([endpoint()])
    first = only(session.poll(0.0))
    session.fail(first.number, error, 0.0)
    assert session.poll(session.next_wakeup() - 1e-6) == []
    second = only(session.poll(session.next_wakeup()))
    assert second.fields["sequence"] == int(str(first.fields["sequence"])) + 1
    session.answer(first.number, done(3), 0.0)  # of an attempt given up
    assert session.take_outcomes() == []
    session.answer(second.number, done(4), 0.0)
    assert [o.revision for o in session.take_outcomes()] == [4]


def test_a_daemon_that_asks_to_be_left_alone_is():
    session = granted()
    session.register([endpoint()])
    error = ResourceExhaustedError("busy", retry_after_s=0.7)
    session.fail(only(session.poll(0.0)).number, error, 0.0)
    assert session.next_wakeup() >= 0.7
    session.fail(only(session.poll(2.0)).number, ResourceExhaustedError("busy"), 2.0)
    assert session.next_wakeup() < 2.7


def test_a_refusal_ends_the_job_with_its_error():
    session = granted()
    job = session.register([endpoint()])
    error = InvalidArgumentError("no")
    session.fail(only(session.poll(0.0)).number, error, 0.0)
    assert [(o.job, o.error) for o in session.take_outcomes()] == [(job, error)]
    assert names(fence(session, 0.0)) == ["generate"]
    assert session.take_outcomes() == []
    assert session.poll(0.0) == []


def test_a_refusal_after_an_attempt_of_unknown_fate_is_followed_by_a_removal():
    """The delayed first attempt would else be carried out once nothing stands in its way."""
    session = granted()
    session.register([endpoint()])
    session.fail(only(session.poll(0.0)).number, NOTHING, 0.0)
    session.fail(only(session.poll(1.0)).number, AlreadyExistsError("no"), 1.0)
    assert len(session.take_outcomes()) == 1
    removal = only(session.poll(1.0))
    assert removal.op == "unregister"
    session.answer(removal.number, done(3), 1.0)
    assert session.take_outcomes() == []


@pytest.mark.parametrize("answer", [{}, {"revision": "7"}, {"revision": True}])
def test_an_unreadable_answer_ends_the_job_and_is_undone(answer):
    session = granted()
    session.register([endpoint()])
    session.answer(only(session.poll(0.0)).number, answer, 0.0)
    (outcome,) = session.take_outcomes()
    assert isinstance(outcome.error, InternalError)
    assert only(session.poll(0.0)).op == "unregister"


def test_a_refused_removal_is_told_and_forgotten():
    session = registered("a")
    job = session.unregister([endpoint("a").id(0xA)])
    session.fail(only(session.poll(0.0)).number, InternalError("bug"), 0.0)
    assert [o.job for o in session.take_outcomes()] == [job]
    assert session.poll(0.0) == []


def test_what_nobody_waits_for_survives_a_fault_of_the_daemon():
    session = registered("a")
    now = session.next_wakeup()
    session.fail(only(session.poll(now)).number, LOST, now)
    session.answer(only(session.poll(now)).number, GRANTED, now)
    session.fail(only(session.poll(now)).number, InternalError("bug"), now)
    assert session.failures == []
    assert names(only(session.poll(now + 1.0))) == ["a"]


# ---- another epoch


def in_epoch(session: Session, epoch: str, now: float) -> float:
    """Renew, and hear of an epoch; return when."""
    now = max(now, session.next_wakeup())
    session.answer(only(session.poll(now)).number, GRANTED | {"epoch": epoch}, now)
    return now


def test_in_another_epoch_all_is_registered_again_and_the_rest_removed():
    session = registered("a", "b")
    now = in_epoch(session, "e2", 0.0)
    calls = session.poll(now)
    assert [(call.op, names(call)) for call in calls] == [
        ("register", ["a"]),
        ("register", ["b"]),
        ("retain", ["a", "b"]),
    ]
    for call in calls:
        session.answer(call.number, done(9, "e2"), now)
    assert session.take_outcomes() == []  # nobody asked
    in_epoch(session, "e2", now)
    assert session.poll(now) == []


def test_a_lease_that_is_new_in_an_epoch_has_nothing_to_catch_up_on():
    session = new_session()
    session.register([endpoint()])
    session.answer(only(session.poll(0.0)).number, GRANTED | {"epoch": "e7"}, 0.0)
    session.answer(only(session.poll(0.0)).number, done(2, "e7"), 0.0)
    assert session.poll(0.0) == []


def test_an_epoch_is_heard_of_by_any_answer():
    session = registered("a")
    session.register([endpoint("b")])
    session.answer(only(session.poll(0.0)).number, done(9, "e2"), 0.0)
    ops = [(call.op, names(call)) for call in session.poll(0.0)]
    assert ops == [("register", ["a"]), ("register", ["b"]), ("retain", ["a", "b"])]


def test_what_is_still_to_be_registered_is_retained_too():
    """A retention that overtakes a registration would undo it otherwise."""
    session = registered("a")
    session.register([endpoint("b")])
    register = only(session.poll(0.0))
    now = in_epoch(session, "e2", 0.0)
    calls = session.poll(now)
    assert [names(call) for call in calls if call.op == "retain"] == [["a", "b"]]
    session.answer(register.number, done(9, "e2"), now)


def test_what_was_retained_for_a_registration_that_is_refused_goes():
    """Found by seed 1795246964: what the store had back under that id stayed for ever."""
    session = registered("a")
    session.register([endpoint("b")])
    register = only(session.poll(0.0))
    now = in_epoch(session, "e2", 0.0)
    for call in session.poll(now):
        session.answer(call.number, done(9, "e2"), now)
    session.fail(register.number, AlreadyExistsError("x"), now)
    assert names(fence(session, now)) == ["b"]


def test_what_was_retained_for_a_registration_that_nobody_wants_goes():
    """But not what an earlier one has put there meanwhile."""
    session = registered("a")
    session.register([endpoint("b")])
    waiting = session.register([endpoint("b", "10.0.0.8:1/x"), endpoint("c")])
    first = only(session.poll(0.0))
    now = in_epoch(session, "e2", 0.0)
    for call in session.poll(now):
        session.answer(call.number, done(9, "e2"), now)
    session.abandon(waiting)
    session.answer(first.number, done(10, "e2"), now)
    assert names(fence(session, now)) == ["c"]


def test_on_a_lease_that_was_granted_again_all_is_registered_again_once():
    """Found by seed 1795266452: it ended unnoticed, and a late copy of the `grant` was carried out.

    That daemon had loaded its store anew, and knew of no session that had ended.
    """
    session = registered("a")
    asked = []
    for _ in range(2):
        now = session.next_wakeup()
        session.answer(only(session.poll(now)).number, GRANTED | {"since": 7}, now)
        for call in session.poll(now):
            asked.append((call.op, names(call)))
            session.answer(call.number, done(9), now)
    assert asked == [("register", ["a"]), ("retain", ["a"])]


def test_what_was_removed_meanwhile_is_not_registered_again():
    session = registered("a")
    now = in_epoch(session, "e2", 0.0)
    session.unregister([endpoint("a").id(0xA)])
    calls = {call.op: names(call) for call in session.poll(now)}
    assert calls == {"retain": [], "unregister": ["a"]}


def test_a_third_epoch_does_not_add_to_what_the_second_began():
    session = registered("a")
    session.register([endpoint("b")])
    register = only(session.poll(0.0))
    now = in_epoch(session, "e2", 0.0)
    for call in session.poll(now):
        session.fail(call.number, NOTHING, now)
    session.answer(register.number, done(9, "e3"), now)
    ops = [(call.op, names(call)) for call in session.poll(now)]
    assert ops == [("register", ["a"]), ("register", ["b"]), ("retain", ["a", "b"])]


# ---- draining


def test_what_an_operator_took_away_is_told_and_not_wanted_any_more():
    session = registered("a")
    now = session.next_wakeup()
    session.answer(only(session.poll(now)).number, GRANTED | {"draining": True}, now)
    (failure,) = session.take_failures()
    assert [spec.endpoint for spec in failure.specs] == ["a"]
    assert "process a: draining, an operator" in str(failure.error)
    session.fail(only(session.poll(session.next_wakeup())).number, LOST, now)
    assert session.poll(now + 1.0) == []  # the lease is lost, and nothing is to be put back
    assert session.next_wakeup() == FOREVER


@pytest.mark.parametrize(
    ("ttl_s", "urgent"), [(3.0, [True]), (6.0, [True]), (10.0, [False, True]), (60.0, [False] * 4)]
)
def test_a_renewal_is_urgent_when_no_other_here_would_leave_time_for_another_daemon(ttl_s, urgent):
    session = new_session()
    session.register([endpoint()])
    granted = GRANTED | {"ttl_s": ttl_s, "renew_s": ttl_s / 3}
    session.answer(only(session.poll(0.0)).number, granted, 0.0)
    session.answer(only(session.poll(0.0)).number, done(2), 0.0)
    found = []
    while len(found) < len(urgent):
        now = session.next_wakeup()
        call = only(session.poll(now))
        found.append(call.is_urgent)
        session.fail(call.number, NOTHING, now + call.within_s)
    assert found == urgent


# ---- abandoning


def test_an_abandoned_job_that_was_never_sent_leaves_no_trace():
    session = new_session()
    assert session.abandon(session.register([endpoint()])) is None
    assert session.poll(0.0) == []


def test_what_kept_the_lease_from_being_granted_is_told():
    session = new_session()
    job = session.register([endpoint()])
    session.fail(only(session.poll(0.0)).number, NOTHING, 0.0)
    assert session.abandon(job) is NOTHING


def test_an_abandoned_registration_is_taken_back():
    session = granted()
    job = session.register([endpoint()])
    call = only(session.poll(0.0))
    session.fail(call.number, NOTHING, 0.0)
    assert session.abandon(job) is NOTHING
    removal = only(session.poll(0.0))
    assert (removal.op, names(removal)) == ("unregister", ["generate"])
    session.answer(removal.number, done(3), 0.0)
    assert session.take_outcomes() == []


def test_the_answer_to_an_abandoned_attempt_is_not_taken_for_that_of_its_removal():
    session = granted()
    job = session.register([endpoint()])
    call = only(session.poll(0.0))
    session.abandon(job)
    session.answer(call.number, done(3), 0.0)
    removal = only(session.poll(0.0))
    session.fail(call.number, AlreadyExistsError("late"), 0.0)
    session.fail(removal.number, NOTHING, 0.0)
    assert only(session.poll(1.0)).op == "unregister"


def test_an_abandoned_change_is_changed_back():
    session = registered("a")
    job = session.register([endpoint("a", "10.0.0.8:1/x"), endpoint("b")])
    session.poll(0.0)
    session.abandon(job)
    removal = only(session.poll(0.0))
    assert (removal.op, names(removal)) == ("unregister", ["b"])
    session.answer(removal.number, done(5), 0.0)
    (spec,) = only(session.poll(0.0)).fields["specs"]  # type: ignore[misc]
    assert spec == endpoint("a")


def test_a_delayed_attempt_of_an_abandoned_change_is_fenced_off_before_it_is_changed_back():
    """Else it would be carried out after the old value was found to be there still."""
    session = registered("a")
    job = session.register([endpoint("a", "10.0.0.8:1/x")])
    session.poll(0.0)
    session.abandon(job)
    fence = only(session.poll(0.0))
    assert (fence.op, names(fence)) == ("unregister", [])


def test_a_removal_after_an_abandoned_registration_does_not_undo_a_younger_one():
    session = granted()
    job = session.register([endpoint("a", "10.0.0.1:1/x")])
    session.poll(0.0)
    session.abandon(job)
    removal = only(session.poll(0.0))
    session.register([endpoint("a", "10.0.0.2:1/x")])
    session.fail(removal.number, NOTHING, 0.0)
    again = only(session.poll(1.0))
    assert again.op == "unregister"  # first that, then the younger one
    session.answer(again.number, done(5), 1.0)
    assert only(session.poll(1.0)).op == "register"


def test_an_abandoned_removal_is_finished_all_the_same():
    session = registered("a")
    job = session.unregister([endpoint("a").id(0xA)])
    session.abandon(job)  # not even sent
    call = only(session.poll(0.0))
    assert call.op == "unregister"
    session.answer(call.number, done(5), 0.0)
    assert session.take_outcomes() == []


def test_abandoning_what_has_ended_does_nothing():
    session = registered("a")
    assert session.abandon(1) is None
    assert session.poll(0.0) == []


# ---- the end


def test_closing_without_a_lease_sends_nothing():
    session = new_session()
    session.close()
    assert session.poll(0.0) == []
    assert session.is_closed
    assert session.next_wakeup() == FOREVER


def test_closing_before_the_grant_was_sent_sends_nothing():
    session = new_session()
    session.register([endpoint()])
    session.close()
    assert session.poll(0.0) == []
    assert session.is_closed


@pytest.mark.parametrize("state", ["granting", "held", "registering", "lost"])
def test_closing_gives_the_lease_back_in_every_state(state):
    session = registered("a") if state != "granting" else new_session()
    pending: list[Call] = []
    if state in ("granting", "registering"):
        session.register([endpoint("b")])
        pending = session.poll(0.0)
    if state == "lost":
        now = session.next_wakeup()
        session.fail(only(session.poll(now)).number, LOST, now)
        pending = session.poll(now)
    session.close()
    assert session.is_closing
    revoke = only(session.poll(0.0))
    assert revoke.op == "revoke"
    assert session.poll(0.0) == []
    assert session.next_wakeup() == FOREVER
    for late in pending:
        session.answer(late.number, GRANTED, 0.0)
    session.answer(revoke.number, done(9), 0.0)
    for late in pending:
        session.answer(late.number, GRANTED, 0.0)
        session.fail(late.number, LOST, 0.0)
    assert session.is_closed
    assert session.poll(1.0) == []
    assert session.next_wakeup() == FOREVER


def test_an_unanswered_return_of_the_lease_is_repeated():
    session = registered("a")
    session.close()
    session.fail(only(session.poll(0.0)).number, NOTHING, 0.0)
    assert not session.is_closed
    assert session.next_wakeup() <= 1.0
    assert session.poll(session.next_wakeup() - 1e-6) == []
    session.hurry(0.0)
    revoke = only(session.poll(0.0))
    session.fail(revoke.number, LOST, 0.0)
    assert session.is_closed


def test_the_first_last_words_are_said():
    session = registered("a")
    session.close(Cause.CRASHED, "exit status 1")
    session.close()
    revoke = only(session.poll(0.0))
    assert (revoke.fields["cause"], revoke.fields["detail"]) == ("crashed", "exit status 1")


def test_a_refused_return_of_the_lease_ends_the_session():
    session = registered("a")
    session.close()
    session.fail(only(session.poll(0.0)).number, InternalError("bug"), 0.0)
    assert session.is_closed


def test_nothing_is_answered_after_closing():
    session = registered("a")
    session.register([endpoint("b")])
    session.close()
    session.answer(only(session.poll(0.0)).number, done(1), 0.0)
    assert session.take_outcomes() == []


# ---- hurrying


def test_hurrying_sends_what_waits_and_renews():
    session = registered("a")
    session.register([endpoint("b")])
    session.fail(only(session.poll(0.0)).number, NOTHING, 0.5)
    session.hurry(0.5)
    assert sorted(c.op for c in session.poll(0.5)) == ["keep_alive", "register"]


def test_hurrying_repeats_the_grant_at_once():
    session = new_session()
    session.register([endpoint("b")])
    session.fail(only(session.poll(5.0)).number, NOTHING, 5.0)
    session.hurry(5.0)
    assert only(session.poll(5.0)).op == "grant"


# ---- everything at once


class Driver:
    """A session, a registry, and a network between them that loses, delays and repeats."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.session = Session(0xA, 9.0, rng=random.Random(seed))
        self.registry = ModelRegistry()
        self.saved = self.registry.save()
        self.now = 0.0
        self.under_way: dict[int, Call] = {}
        self.late: list[Call] = []  # copies that may still arrive
        self.token: object = None
        self.jobs: dict[int, tuple[list[Any], list[Any]]] = {}
        self.open: set[int] = set()
        self.ended: dict[int, str] = {}

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.15:
            self._register()
        elif choice < 0.25:
            self._unregister()
        elif choice < 0.32 and self.open:
            job = self.rng.choice(sorted(self.open))
            self.session.abandon(job)
            self.open.remove(job)
            self.ended[job] = "abandoned"
        elif choice < 0.35:
            self.expire()
        elif choice < 0.37:
            self.saved = self.registry.save()
        elif choice < 0.39:
            self.registry.lose_what_came_after(self.saved)
        elif choice < 0.45 and self.late:
            call = self.late.pop(self.rng.randrange(len(self.late)))
            self.registry.call(call.op, dict(call.fields))
        elif choice < 0.65:
            self.now = max(self.now, min(self.session.next_wakeup(), self.now + 1.0))
        elif self.under_way:
            self._fate(self.rng.choice(sorted(self.under_way)))
        self.pump()

    def expire(self) -> None:
        """End the lease; a late copy of its grant may take it anew."""
        self.registry.expire()
        if self.session.state is LeaseState.HELD and self.rng.random() < 0.3:
            self.registry.call("grant", {"token": self.token})

    def pump(self) -> None:
        for call in self.session.poll(self.now):
            self.under_way[call.number] = call
            self.token = call.fields["token"]
        for outcome in self.session.take_outcomes():
            assert outcome.job in self.open, "told twice, or after it was abandoned"
            self.open.remove(outcome.job)
            self.ended[outcome.job] = "refused" if outcome.error else "done"

    def settle(self) -> None:
        """Let all late copies arrive, and then nothing be lost any more."""
        self.session.hurry(self.now)
        self.pump()
        for _ in range(10_000):
            if self.late:
                call = self.late.pop(0)
                self.registry.call(call.op, dict(call.fields))
            if self.under_way:
                self._arrive(min(self.under_way), is_heard=True)
            elif self.session.next_wakeup() - self.now > 1.0:
                return
            else:
                self.now = max(self.now, self.session.next_wakeup())
            self.pump()
        raise AssertionError("it never comes to rest")

    def wanted(self) -> dict[Any, Any]:
        """Return what the calls, done one after another, come to."""
        records: dict[Any, Any] = {}
        for job, (specs, ids) in self.jobs.items():
            if self.ended[job] == "done":
                records |= {spec.id(0xA): spec for spec in specs}
            if self.ended[job] in ("done", "abandoned"):
                for identity in ids:
                    records.pop(identity, None)
        return records

    def _register(self) -> None:
        some = self.rng.sample("abc", self.rng.choice([1, 1, 2]))
        host = REFUSED if self.rng.random() < 0.1 else f"h{self.rng.randrange(3)}"
        specs = [endpoint(name, f"{host}:1/x") for name in some]
        self._note(self.session.register(specs), specs, [])

    def _unregister(self) -> None:
        ids = [endpoint(self.rng.choice("abc")).id(0xA)]
        self._note(self.session.unregister(ids), [], ids)

    def _note(self, job: int, specs: list[Any], ids: list[Any]) -> None:
        self.jobs[job] = (specs, ids)
        self.open.add(job)

    def _fate(self, number: int) -> None:
        fate = self.rng.random()
        if fate < 0.5:
            self._arrive(number, is_heard=True)
        elif fate < 0.7:
            self._arrive(number, is_heard=False)
        else:
            call = self.under_way.pop(number)
            if fate < 0.9 and call.op != "grant":
                self.late.append(call)  # not lost, only late
            self.session.fail(number, NOTHING, self.now)

    def _arrive(self, number: int, *, is_heard: bool) -> None:
        call = self.under_way.pop(number)
        if self.rng.random() < 0.2 and call.op != "grant":
            self.late.append(call)
        answer: dict[str, Any] | DiscoveryError = self.registry.call(call.op, dict(call.fields))
        if not is_heard:
            answer = NOTHING
        if isinstance(answer, DiscoveryError):
            self.session.fail(number, answer, self.now)
        else:
            self.session.answer(number, answer, self.now)


@pytest.mark.parametrize("first_seed", range(0, 300, 100))
def test_in_the_end_the_registry_holds_what_is_wanted_and_no_ghost(first_seed):
    for seed in range(first_seed, first_seed + 100):
        driver = Driver(seed)
        for _ in range(150):
            driver.step()
        driver.settle()
        driver.expire()
        driver.settle()
        assert not driver.open, f"seed {seed}: jobs that never end"
        assert driver.registry.records == driver.wanted(), f"seed {seed}"
        assert not driver.session.failures, f"seed {seed}"
        driver.session.close()
        driver.pump()
        driver.settle()
        assert driver.session.is_closed, f"seed {seed}"
        assert driver.registry.records == {}, f"seed {seed}: a ghost"


def test_a_registration_retracted_before_it_is_done_is_undone():
    session = granted()
    job = session.register([endpoint()])
    session.poll(0.0)
    session.retract(job)
    assert only(session.poll(0.0)).op == "unregister"


def test_a_registration_retracted_after_it_was_done_is_removed_and_stays_so():
    session = granted()
    job = session.register([endpoint()])
    session.answer(only(session.poll(0.0)).number, done(4), 0.0)
    session.retract(job)
    removal = only(session.poll(0.0))
    assert (removal.op, names(removal)) == ("unregister", ["generate"])
    session.fail(removal.number, LOST, 0.0)
    assert session.poll(0.0) == []


def test_a_change_retracted_after_it_was_done_stays():
    session = registered("a")
    job = session.register([endpoint("a", "10.0.0.8:1/x")])
    session.answer(only(session.poll(0.0)).number, done(5), 0.0)
    session.retract(job)
    assert session.poll(0.0) == []


# ---- deeds


UNDO = Deed("undo", {"b": 2}, "s")
DEED = Deed("do", {"a": 1}, "s", undo=UNDO)
NO = InvalidArgumentError("no")


def test_a_deed_takes_a_lease_and_is_answered_as_it_was():
    session = new_session()
    job = session.do(DEED)
    session.answer(only(session.poll(0.0)).number, GRANTED, 0.0)
    call = only(session.poll(0.0))
    assert (call.op, call.fields["a"], call.fields["sequence"]) == ("do", 1, 1)
    assert call.fields["instance_id"] == 0xA
    session.answer(call.number, done(5) | {"claimed": True}, 0.0)
    (outcome,) = session.take_outcomes()
    assert (outcome.job, outcome.revision, outcome.answer["claimed"]) == (job, 5, True)
    assert not session._registrations.jobs


def test_a_deed_that_is_repeated_has_a_number_of_its_own():
    session = granted()
    session.do(DEED)
    first = only(session.poll(0.0))
    session.fail(first.number, NOTHING, 1.0)
    second = only(session.poll(5.0)[:1])
    assert second.fields["sequence"] == first.fields["sequence"] + 1


def test_an_abandoned_deed_is_undone_and_nobody_is_told():
    session = granted()
    job = session.do(DEED)
    call = only(session.poll(0.0))
    session.abandon(job)
    session.abandon(job)  # once more, and it stays undone
    session.answer(call.number, done(5), 0.0)
    undo = only(session.poll(0.0))
    assert (undo.op, undo.fields["b"]) == ("undo", 2)
    session.answer(undo.number, done(6), 0.0)
    assert session.take_outcomes() == []
    assert not session._registrations.jobs


@pytest.mark.parametrize("deed", [DEED, Deed("do", {}, "s")])
def test_an_abandoned_deed_that_was_never_sent_leaves_no_trace(deed):
    session = granted()
    session.abandon(session.do(deed))
    assert session.poll(0.0) == []


def test_a_deed_that_cannot_be_undone_is_only_forgotten():
    session = granted()
    job = session.do(Deed("do", {}, "s"))
    session.poll(0.0)
    session.abandon(job)
    assert session.poll(0.0) == []


def test_a_refused_deed_is_told_and_what_it_may_have_done_is_undone():
    session = granted()
    job = session.do(DEED)
    session.fail(only(session.poll(0.0)).number, NO, 0.0)
    (outcome,) = session.take_outcomes()
    assert (outcome.job, outcome.error) == (job, NO)
    undo = only(session.poll(0.0))
    assert undo.op == "undo"
    session.fail(undo.number, NO, 0.0)
    assert not session._registrations.jobs
    assert session.take_outcomes() == []


def test_a_deed_is_taken_back_even_after_it_was_done():
    session = granted()
    job = session.do(DEED)
    session.answer(only(session.poll(0.0)).number, done(5), 0.0)
    session.undo(job, DEED)
    assert only(session.poll(0.0)).op == "undo"
    session.undo(job, Deed("do", {}, "s"))
    assert session.poll(0.0) == []


def test_a_deed_is_taken_back_while_it_is_under_way():
    session = granted()
    job = session.do(DEED)
    session.poll(0.0)
    session.undo(job, DEED)
    assert only(session.poll(0.0)).op == "undo"


def test_a_deed_is_done_under_the_next_lease_if_its_own_was_lost():
    session = granted()
    job = session.do(DEED)
    session.fail(only(session.poll(0.0)).number, LOST, 1.0)
    assert session.state is LeaseState.LOST
    session.answer(only(session.poll(1.0)).number, GRANTED, 1.0)
    session.answer(only(session.poll(1.0)).number, done(9), 1.0)
    assert [outcome.job for outcome in session.take_outcomes()] == [job]


def test_without_a_lease_a_deed_is_refused_and_nothing_undone():
    session = new_session()
    job = session.do(DEED)
    session.fail(only(session.poll(0.0)).number, NO, 0.0)
    (outcome,) = session.take_outcomes()
    assert (outcome.job, outcome.error) == (job, NO)
    assert session.poll(0.0) == []


def test_a_registration_says_whose_models_it_is_about():
    session = Session(0xA, 10.0, rng=random.Random(1), tenant="acme")
    session.register([endpoint()])
    session.answer(only(session.poll(0.0)).number, GRANTED, 0.0)
    assert only(session.poll(0.0)).fields["tenant"] == "acme"


def test_deeds_about_the_same_are_done_one_after_the_other():
    session = granted()
    session.do(Deed("first", {}, "s"))
    session.do(Deed("second", {}, "s"))
    session.do(Deed("other", {}, "t"))
    first, other = session.poll(0.0)
    assert (first.op, other.op) == ("first", "other")
    session.fail(first.number, NOTHING, 0.0)
    again = only(session.poll(5.0)[:1])
    assert again.op == "first"
    session.answer(again.number, done(5), 5.0)
    assert "second" in [call.op for call in session.poll(5.0)]


def test_what_is_asked_after_an_abandoned_deed_waits_until_that_is_undone():
    session = granted()
    job = session.do(DEED)
    session.poll(0.0)
    session.abandon(job)
    session.do(DEED)
    undo = only(session.poll(0.0))
    assert undo.op == "undo"
    session.answer(undo.number, done(6), 0.0)
    assert only(session.poll(0.0)).op == "do"
