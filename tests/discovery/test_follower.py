from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery.events import Cause
from discovery.follower import Follower, FollowerLimits, StreamState
from discovery.protocol import Commit
from tests.support.records import (
    ENDPOINTS,
    answer,
    beat,
    came,
    digest,
    endpoint_key,
    event,
    item,
    went,
)

if TYPE_CHECKING:
    from discovery.names import Scope
    from discovery.protocol import Item, SyncRequest

ONE, TWO = item(1, 5), item(2, 6)
EXPIRED = Cause.LEASE_EXPIRED


def follower(scope: Scope = ENDPOINTS, **limits: Any) -> Follower:
    return Follower(scope, limits=FollowerLimits(**limits), rng=random.Random(1))


def asked(f: Follower, now: float) -> SyncRequest:
    request = f.poll(now)
    assert request is not None
    return request


def synced(*items: Item, revision: int = 10, scope: Scope = ENDPOINTS, **limits: Any) -> Follower:
    """Return a follower whose view of epoch e1 was proven at 0."""
    f = follower(scope, **limits)
    f.connected("d", 0.0)
    f.on_answer(answer(asked(f, 0.0).number, revision, items), 0.0)
    f.take()
    return f


def keys(f: Follower) -> set[str]:
    return set(f.items)


# ---- the first sync


def test_it_asks_only_once_it_is_connected_and_is_synced_by_the_answer() -> None:
    f = follower()
    assert (f.poll(0.0), f.next_wakeup()) == (None, float("inf"))
    assert (f.epoch, f.revision) == (None, -1)
    f.connected("d", 1.0)
    request = asked(f, 1.0)
    assert (request.epoch, request.since, request.at_least) == (None, 0, 0)
    assert (f.is_synced, f.state(1.0), f.staleness_s(1.0)) == (
        False,
        StreamState.SYNCING,
        float("inf"),
    )
    f.on_answer(answer(request.number, 10, [ONE]), 1.5)
    assert (f.is_synced, f.state(1.5), f.staleness_s(1.5)) == (True, StreamState.LIVE, 0.5)
    assert (f.epoch, f.revision, keys(f)) == ("e1", 10, {ONE.key})
    assert [shown.key for shown in f.take()] == [ONE.key]
    assert f.counters.snapshots == 1


def test_an_empty_snapshot_is_an_answer_too() -> None:
    assert synced().is_synced


def test_it_is_not_synced_by_a_snapshot_whose_digest_differs() -> None:
    f = follower()
    f.connected("d", 0.0)
    f.on_answer(answer(asked(f, 0.0).number, 10, [ONE], digest=1), 0.0)
    assert not f.is_synced
    assert f.counters.corruptions == 1
    again = asked(f, 5.0)
    assert again.epoch is None
    f.on_answer(answer(again.number, 10, [ONE]), 5.0)
    assert f.is_synced


def test_events_that_arrive_during_a_sync_are_applied_after_it() -> None:
    f = follower()
    f.connected("d", 0.0)
    request = asked(f, 0.0)
    f.on_event(event(10, 9, came(ONE)), 0.1)
    f.on_event(event(11, 10, came(TWO)), 0.1)
    f.on_beat(beat(1, 11, 0), 0.1)
    f.on_answer(answer(request.number, 10, [ONE]), 0.2)
    assert (f.revision, keys(f)) == (11, {ONE.key, TWO.key})


def test_events_that_are_too_many_to_keep_are_found_missing_after_the_sync() -> None:
    f = follower(buffer_events=2)
    f.connected("d", 0.0)
    request = asked(f, 0.0)
    for revision in (11, 12, 13, 14):
        f.on_event(event(revision, revision - 1, came(item(1, revision))), 0.1)
    assert f.counters.overflows == 1
    f.on_answer(answer(request.number, 10), 0.2)
    assert (f.revision, f.counters.gaps) == (10, 1)
    assert asked(f, 0.2).since == 10


# ---- asking


def test_a_request_that_gets_no_answer_is_asked_again_and_a_late_answer_is_ignored() -> None:
    f = follower()
    f.connected("d", 0.0)
    first = asked(f, 0.0)
    assert f.next_wakeup() == 1.0
    assert f.poll(0.5) is None
    assert f.poll(1.0) is None  # given up; the next one is put off
    second = asked(f, f.next_wakeup())
    assert second.number == first.number + 1
    f.on_answer(answer(first.number, 10), 1.2)
    assert not f.is_synced
    f.sync_failed(first.number, 1.2)
    f.on_answer(answer(second.number, 10), 1.3)
    assert f.is_synced


def test_a_refused_request_is_put_off_as_long_as_the_daemon_says() -> None:
    f = follower()
    f.connected("d", 0.0)
    f.sync_failed(asked(f, 0.0).number, 0.0, 5.0)
    assert 5.0 <= f.next_wakeup() <= 5.1
    assert f.poll(4.9) is None


def test_nothing_is_asked_of_nobody() -> None:
    f = follower()
    f.connected("d", 0.0)
    request = asked(f, 0.0)
    f.disconnected()
    assert f.poll(9.0) is None
    f.on_answer(answer(request.number, 10), 9.0)
    assert not f.is_synced


def test_a_daemon_is_in_vain_when_it_is_silent_or_all_requests_fail() -> None:
    f = synced()
    assert (f.is_in_vain(3.0), f.is_in_vain(3.1)) == (False, True)
    f.connected("other", 4.0)
    assert not f.is_in_vain(4.0)
    for _ in range(6):
        assert not f.is_in_vain(4.0)
        f.sync_failed(asked(f, f.next_wakeup()).number, 4.0)
    assert f.is_in_vain(4.0)


def test_a_quiet_scope_is_audited_and_the_answer_may_be_that_nothing_changed() -> None:
    f = synced(ONE, audit_interval_s=10.0)
    f.on_beat(beat(1, 12, 10, time_s=9.0), 9.0)
    assert f.next_wakeup() == 10.0
    request = asked(f, 10.0)
    assert (request.epoch, request.since) == ("e1", 12)
    f.on_answer(answer(request.number, 12, [ONE], commits=[], time_s=10.0), 10.1)
    assert (f.counters.backfills, f.counters.corruptions, f.next_wakeup()) == (1, 0, 20.1)


def test_an_audit_finds_what_no_beat_told_and_a_snapshot_mends_it() -> None:
    f = synced(ONE)
    request = asked(f, 10.0)
    f.on_answer(answer(request.number, 10, [TWO], commits=[]), 10.0)
    assert f.counters.corruptions == 1
    request = asked(f, 15.0)
    assert request.epoch is None
    f.on_answer(answer(request.number, 10, [TWO]), 15.0)
    assert keys(f) == {TWO.key}


# ---- wanting a revision


def test_a_wanted_revision_is_asked_for_at_once_and_once() -> None:
    f = synced()
    f.want(10, 1.0)
    assert f.poll(1.0) is None
    f.want(12, 1.0)
    request = asked(f, 1.0)
    assert request.at_least == 12
    f.sync_failed(request.number, 1.0)
    assert asked(f, 9.0).at_least == 0


def test_a_revision_wanted_during_a_sync_is_asked_for_after_it() -> None:
    f = synced()
    f.want(11, 1.0)
    request = asked(f, 1.0)
    f.want(15, 1.0)
    f.on_answer(answer(request.number, 12, commits=[]), 1.1)
    assert asked(f, 1.1).at_least == 15


def test_a_revision_of_an_epoch_that_is_over_is_not_wanted_any_more() -> None:
    f = synced()
    f.want(500, 1.0)
    request = asked(f, 1.0)
    f.want(600, 1.0)
    f.on_answer(answer(request.number, 3, epoch="e2"), 1.1)
    assert f.poll(1.1) is None
    f.want(700, 1.2)
    f.connected("d2", 1.3)
    assert asked(f, 1.3).at_least == 0


# ---- the chain


def test_an_event_that_follows_is_applied_and_its_copy_ignored() -> None:
    f = synced(ONE)
    for _ in range(2):
        f.on_event(event(12, 10, came(TWO)), 1.0)
    assert (f.revision, keys(f)) == (12, {ONE.key, TWO.key})
    assert [shown.revision for shown in f.take()] == [12]


def test_an_event_whose_predecessor_is_missing_is_a_gap_that_a_backfill_closes() -> None:
    f = synced(ONE)
    f.on_event(event(12, 11, came(TWO)), 1.0)
    assert (f.revision, f.counters.gaps) == (10, 1)
    request = asked(f, 1.0)
    assert (request.epoch, request.since) == ("e1", 10)
    commits = [Commit(11, [went(ONE.key, Cause.UNREGISTERED)]), Commit(12, [came(TWO)])]
    f.on_answer(answer(request.number, 13, [TWO], commits=commits), 1.1)
    assert (f.revision, keys(f)) == (13, {TWO.key})
    assert [(shown.key, shown.revision) for shown in f.take()] == [(ONE.key, 11), (TWO.key, 12)]


def test_each_level_is_checked_by_the_head_of_its_own() -> None:
    f = synced(scope=ENDPOINTS[:2])
    said = replace(event(12, 0, came(TWO)), prev=(11, 10, 0, 0))
    f.on_event(said, 1.0)
    assert f.revision == 12


def test_a_revision_is_applied_when_all_of_its_distinct_parts_are_here() -> None:
    f = synced()
    first = event(12, 10, came(ONE), parts=(2, 2, 2, 2))
    second = event(12, 10, came(TWO), parts=(2, 2, 2, 2), part=1)
    for part in (first, first):
        f.on_event(part, 1.0)
    assert (f.revision, keys(f)) == (10, set())
    f.on_event(second, 1.0)
    assert (f.revision, keys(f)) == (12, {ONE.key, TWO.key})


def test_parts_that_stay_away_are_a_gap_and_those_here_are_kept_for_after_the_sync() -> None:
    f = synced()
    f.on_event(event(12, 10, came(ONE), parts=(2, 2, 2, 2)), 1.0)
    f.on_event(event(13, 12, came(TWO)), 1.0)
    request = asked(f, 1.0)
    f.on_answer(answer(request.number, 12, [ONE], commits=[Commit(12, [came(ONE)])]), 1.1)
    assert (f.revision, keys(f)) == (13, {ONE.key, TWO.key})


def test_what_another_daemon_says_is_not_heard() -> None:
    f = synced()
    f.on_event(event(11, 10, came(ONE), daemon="other"), 1.0)
    f.on_beat(beat(1, 99, 98, daemon="other"), 1.0)
    assert (f.revision, f.poll(1.0)) == (10, None)
    f.want(11, 1.0)
    f.on_answer(answer(asked(f, 1.0).number, 11, [ONE], daemon="other"), 1.0)
    assert f.revision == 10


# ---- beats


def test_a_beat_proves_the_view_as_of_when_it_left() -> None:
    f = synced(ONE)
    f.on_beat(beat(1, 15, 10, time_s=2.0, age_s=0.25), 2.5)
    assert (f.revision, f.staleness_s(2.5)) == (15, 0.75)
    f.on_beat(beat(2, 15, 12, [(ENDPOINTS, 9, digest(ONE))], time_s=3.0), 3.0)
    assert f.staleness_s(3.0) == 0.0


def test_a_beat_with_a_head_above_ours_is_a_gap() -> None:
    f = synced(ONE)
    f.on_beat(beat(1, 15, 10, [(ENDPOINTS, 12, 0)]), 1.0)
    assert (f.revision, f.counters.gaps) == (10, 1)
    assert asked(f, 1.0).since == 10


def test_a_beat_that_looks_back_less_far_than_our_proof_is_a_gap() -> None:
    f = synced(ONE)
    f.on_beat(beat(9, 15, 11), 1.0)
    assert (f.revision, f.counters.gaps) == (10, 1)


def test_a_beat_from_before_what_we_have_proves_nothing() -> None:
    f = synced(ONE)
    f.on_beat(beat(1, 9, 5, [(ENDPOINTS, 9, 123)], time_s=2.0), 2.0)
    assert (f.revision, f.counters.corruptions, f.staleness_s(2.0)) == (10, 0, 2.0)


def test_a_beat_with_another_digest_means_that_the_view_is_corrupt_and_all_is_fetched() -> None:
    f = synced(ONE)
    f.on_beat(beat(1, 15, 10, [(ENDPOINTS, 8, 123)]), 1.0)
    assert (f.revision, f.counters.corruptions) == (10, 1)
    assert asked(f, 2.0).epoch is None


def test_a_beat_in_parts_proves_when_all_are_here_and_an_older_one_does_not_disturb_it() -> None:
    f = synced(ONE)
    f.on_beat(beat(2, 15, 10, part=0, parts=2), 1.0)
    f.on_beat(beat(1, 14, 10, part=0, parts=2), 1.0)
    assert f.revision == 10
    f.on_beat(beat(2, 15, 10, [(ENDPOINTS, 10, digest(ONE))], part=1, parts=2), 1.0)
    assert f.revision == 15
    f.on_beat(beat(3, 16, 10, part=0, parts=2), 1.0)
    f.connected("d2", 2.0)
    f.on_answer(answer(asked(f, 2.0).number, 15, [ONE], commits=[], daemon="d2"), 2.0)
    f.on_beat(beat(3, 16, 10, part=1, parts=2, daemon="d2"), 2.0)
    assert f.revision == 15


def test_parts_whose_others_never_come_are_not_kept_for_ever() -> None:
    f = synced(buffer_events=5)
    for n in range(100):
        f.on_event(event(20 + n, 10, came(ONE), parts=(2, 2, 2, 2)), 0.5)
        f.on_beat(beat(200 - n, 10, 10, part=0, parts=2), 0.5)
        f.on_beat(beat(200 - n, 10, 10, part=7 + n, parts=1 << 20), 0.5)
        assert max(len(f._event_parts), len(f._beat_parts)) <= 5
    assert f.counters.overflows > 0
    f.on_beat(beat(201, 20, 10, [(ENDPOINTS, 20, digest(ONE))]), 0.6)
    assert asked(f, 0.6).since == 10


def test_a_view_that_is_not_proven_for_three_beats_is_stale_and_stays() -> None:
    f = synced(ONE)
    assert (f.state(3.0), f.state(3.1)) == (StreamState.LIVE, StreamState.STALE)
    f.disconnected()
    assert keys(f) == {ONE.key}


# ---- epochs


def test_another_epoch_is_a_snapshot_and_only_real_differences_are_told() -> None:
    f = synced(ONE, TWO)
    f.on_event(event(3, 2, epoch="e2"), 1.0)
    request = asked(f, 1.0)
    assert (request.epoch, request.since) == ("e1", 10)
    new = [item(1, 2), item(3, 3)]
    f.on_answer(answer(request.number, 4, new, epoch="e2"), 1.1)
    assert (f.epoch, f.revision, f.counters.epochs) == ("e2", 4, 1)
    assert [(s.key, s.item is None) for s in f.take()] == [
        (TWO.key, True),
        (endpoint_key(3), False),
    ]


def test_what_is_said_of_another_epoch_is_asked_about_and_a_late_word_changes_nothing() -> None:
    f = synced(ONE)
    f.on_beat(beat(1, 3, 1, epoch="e2"), 1.0)
    f.on_answer(answer(asked(f, 1.0).number, 3, [ONE], epoch="e2"), 1.1)
    f.on_event(event(99, 98, epoch="e1"), 1.2)
    assert f.revision == 3
    f.on_answer(answer(asked(f, 1.2).number, 3, epoch="e2", commits=[]), 1.3)
    assert (f.epoch, f.revision, f.counters.epochs, f.counters.refusals) == ("e2", 3, 1, 0)


def test_a_daemon_that_lags_behind_in_our_epoch_is_refused() -> None:
    f = synced(ONE)
    f.connected("d2", 1.0)
    f.on_answer(answer(asked(f, 1.0).number, 9, daemon="d2"), 1.0)
    assert (f.revision, keys(f), f.counters.refusals) == (10, {ONE.key}, 1)
    assert f.poll(9.0) is not None


def test_an_epoch_that_was_not_proven_after_ours_was_entered_is_refused() -> None:
    """Found by seed 60666: who began in the new epoch had not left the old one, so went back."""
    f = synced(ONE)
    f.connected("d2", 1.0)
    f.on_answer(answer(asked(f, 1.0).number, 99, epoch="e0", daemon="d2", age_s=1.5), 1.1)
    assert (f.epoch, f.revision, f.counters.refusals) == ("e1", 10, 1)
    f.on_answer(answer(asked(f, 4.0).number, 99, epoch="e2", daemon="d2", age_s=1.5), 4.1)
    assert (f.epoch, f.revision) == ("e2", 99)


# ---- recovery


def test_the_end_of_a_lease_during_a_recovery_is_held_until_a_beat_after_it() -> None:
    f = synced(ONE)
    f.on_event(event(11, 10, went(ONE.key, EXPIRED), is_doubtful=True), 1.0)
    assert (f.take(), keys(f), f.is_recovering) == ([], {ONE.key}, True)
    assert f.state(1.0) is StreamState.RECOVERING
    f.on_beat(beat(1, 11, 10, is_recovering=True), 1.5)
    f.on_beat(beat(2, 11, 10, age_s=5.0), 1.6)  # it may not have heard from its store
    assert f.take() == []
    f.on_beat(beat(3, 11, 10, time_s=2.0), 2.0)
    assert [(s.key, s.cause) for s in f.take()] == [(ONE.key, EXPIRED)]
    assert not f.is_recovering


def test_what_a_recovering_daemon_lacks_in_another_epoch_is_held_and_comes_back_untold() -> None:
    f = synced(ONE, TWO)
    f.connected("d2", 1.0)
    new = answer(asked(f, 1.0).number, 2, epoch="e2", daemon="d2", is_recovering=True)
    f.on_answer(new, 1.0)
    assert (f.take(), keys(f)) == ([], {ONE.key, TWO.key})
    back = event(3, 2, came(item(1, 3)), epoch="e2", daemon="d2", is_doubtful=True)
    f.on_event(back, 1.1)
    assert f.take() == []
    f.on_beat(beat(1, 3, 2, epoch="e2", daemon="d2", time_s=2.0), 2.0)
    assert [s.key for s in f.take()] == [TWO.key]


def test_who_never_saw_anything_before_holds_nothing() -> None:
    f = follower()
    f.connected("d", 0.0)
    f.on_answer(answer(asked(f, 0.0).number, 10, [ONE], is_recovering=True), 0.0)
    assert (f.is_synced, f.is_recovering) == (True, False)


def test_a_lease_that_surely_ended_is_not_held_though_the_daemon_recovers() -> None:
    f = synced(ONE, TWO)
    f.on_event(event(11, 10, went(ONE.key, EXPIRED)), 1.0)
    f.want(12, 2.0)
    commits = [Commit(12, [went(TWO.key, EXPIRED)])]
    said = answer(asked(f, 2.0).number, 12, commits=commits, is_recovering=True)
    f.on_answer(said, 2.0)
    assert [s.key for s in f.take()] == [ONE.key, TWO.key]


def test_what_is_held_from_another_epoch_outlives_a_backfill() -> None:
    f = synced(ONE, TWO)
    f.connected("d2", 1.0)
    new = answer(asked(f, 1.0).number, 2, [TWO], epoch="e2", daemon="d2", is_recovering=True)
    f.on_answer(new, 1.0)
    f.want(3, 2.0)
    commits = [Commit(3, [went(TWO.key, EXPIRED)])]
    said = {"epoch": "e2", "daemon": "d2", "is_recovering": True}
    f.on_answer(answer(asked(f, 2.0).number, 3, commits=commits, **said), 2.0)
    assert ([s.key for s in f.take()], keys(f)) == ([TWO.key], {ONE.key})


def test_a_snapshot_of_the_same_epoch_is_held_only_in_doubt() -> None:
    for is_doubtful in (True, False):
        f = synced(ONE)
        f.want(12, 2.0)
        said = {"is_recovering": True, "is_doubtful": is_doubtful}
        f.on_answer(answer(asked(f, 2.0).number, 12, **said), 2.0)
        assert f.is_recovering == is_doubtful


def test_a_worker_who_is_back_by_the_end_of_a_backfill_was_never_away() -> None:
    f = synced(ONE)
    f.want(12, 9.0)
    commits = [Commit(11, [went(ONE.key, EXPIRED)]), Commit(12, [came(item(1, 12))])]
    f.on_answer(answer(asked(f, 9.0).number, 12, [item(1, 12)], commits=commits), 9.0)
    assert f.take() == []


def test_a_lease_that_ended_in_a_backfill_is_gone_at_its_end() -> None:
    f = synced(ONE)
    f.want(11, 9.0)
    commits = [Commit(11, [went(ONE.key, EXPIRED)])]
    f.on_answer(answer(asked(f, 9.0).number, 12, commits=commits), 9.0)
    assert [(s.key, s.revision, s.cause) for s in f.take()] == [(ONE.key, 12, EXPIRED)]


def test_an_answer_ends_a_hold_as_a_beat_does() -> None:
    f = synced(ONE)
    f.on_event(event(11, 10, went(ONE.key, EXPIRED), is_doubtful=True), 1.0)
    f.want(12, 2.0)
    f.on_answer(answer(asked(f, 2.0).number, 12, commits=[], is_recovering=True), 2.0)
    assert f.is_recovering
    f.want(13, 3.0)
    f.on_answer(answer(asked(f, 3.0).number, 13, commits=[]), 3.0)
    assert not f.is_recovering


def test_what_was_proven_of_another_epoch_proves_nothing_of_this_one() -> None:
    f = synced(ONE)
    f.on_beat(beat(1, 10, 10, time_s=3.0), 3.0)
    f.connected("d2", 3.5)
    asked_for = asked(f, 3.5).number
    f.on_answer(answer(asked_for, 2, [ONE], epoch="e2", daemon="d2", age_s=3.0), 3.6)
    assert f.staleness_s(4.0) >= 3.0
