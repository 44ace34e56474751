from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.events import Cause
from discovery.identity import ModelIdentity
from discovery.mirror import MAX_VALUE_BYTES, Mirror, scopes_above
from discovery.protocol import item_digest
from discovery.store import Batch, Change, Entry
from tests.support.records import (
    COMP,
    ENDPOINTS,
    EP,
    KIND,
    NS,
    batch,
    endpoint_key,
    gone,
    model,
    model_key,
    put,
    put_endpoint,
    put_model,
)

A = ModelIdentity(display_name="A")
CHANNEL = b'{"type":"EventChannel","namespace":"n","component":"c","topic":"t","instance_id":1,"transport":{"kind":"Nats","config":{"subject_prefix":"p"}}}'  # fmt: skip  # noqa: E501


def keys(mirror: Mirror, scope: tuple[str, ...] = KIND) -> set[str]:
    return {entry.key for entry in mirror.under(scope)}


def test_scopes_above_a_leaf_go_from_the_kind_down() -> None:
    assert scopes_above(EP) == (KIND, NS, COMP, EP)


def test_a_batch_is_visible_in_every_scope_above_it_and_counts_in_their_digests() -> None:
    mirror = Mirror(5)
    shown = mirror.apply(batch(6, put_model(6, 1, "A"), put_endpoint(6, 1)))
    assert [(s.key, s.scope) for s in shown] == [(model_key(1), EP), (endpoint_key(1), ENDPOINTS)]
    assert mirror.revision == 6
    for scope in (KIND, NS, COMP, EP):
        assert keys(mirror, scope) == {model_key(1)}
        assert mirror.digest(scope) == item_digest(model_key(1), 6)
    assert mirror.counts() == {EP: 1, ENDPOINTS: 1}
    assert mirror.get(model_key(1)) is not None


def test_what_is_empty_again_leaves_nothing_behind() -> None:
    mirror = Mirror()
    mirror.apply(batch(1, put_endpoint(1, 1), put_endpoint(1, 2), put_endpoint(1, 3, endpoint="f")))
    mirror.apply(batch(2, gone(endpoint_key(1))))
    assert not mirror.is_empty(ENDPOINTS)
    mirror.apply(batch(3, gone(endpoint_key(2))))
    assert mirror.is_empty(ENDPOINTS)
    assert not mirror.is_empty(("endpoints", "n", "c"))
    mirror.apply(batch(4, gone(endpoint_key(3, "f"), Cause.UNREGISTERED)))
    assert mirror.is_empty(("endpoints",))
    assert (mirror._digests, mirror._below, mirror._leaves, mirror._entries) == ({}, {}, {}, {})


def test_deleting_what_is_not_there_shows_nothing() -> None:
    assert Mirror().apply(batch(1, gone(endpoint_key(1)))) == []


def test_a_deletion_carries_its_cause_and_a_put_none() -> None:
    mirror = Mirror()
    (added,) = mirror.apply(batch(1, put_endpoint(1, 1)))
    (removed,) = mirror.apply(batch(2, gone(endpoint_key(1), Cause.LEASE_EXPIRED)))
    assert (added.cause, removed.cause) == (None, Cause.LEASE_EXPIRED)


def test_a_deletion_carries_its_detail() -> None:
    mirror = Mirror(1, [put_endpoint(1, 1).entry])  # type: ignore[list-item]
    change = Change(endpoint_key(1), None, Cause.CRASHED, "exit status 1")
    (removed,) = mirror.apply(batch(2, change))
    assert (removed.cause, removed.detail) == (Cause.CRASHED, "exit status 1")


@pytest.mark.parametrize("lease", [None, 7])
@pytest.mark.parametrize("cause", [None, Cause.UNREGISTERED])
def test_what_has_no_lease_cannot_go_with_one(lease: int | None, cause: Cause | None) -> None:
    """A store may not tell why a key was deleted; of a foreign record without a lease it is clear.

    Else its removal would be held back by whoever doubts that leases ended.
    """
    value = put_endpoint(1, 1).entry.value  # type: ignore[union-attr]
    session = Entry("session/7", b"", 1, 1, 7)
    mirror = Mirror(1, [session, Entry(endpoint_key(1), value, 1, 1, lease)])
    (removed,) = mirror.apply(batch(2, gone(endpoint_key(1), cause)))
    assert removed.cause == (cause if cause or lease else Cause.REVOKED)


@pytest.mark.parametrize("cause", [None, Cause.LEASE_EXPIRED])
def test_a_lease_that_no_daemon_renews_ends_beyond_doubt(cause: Cause | None) -> None:
    """A peer renews its lease itself: that daemons were away says nothing about it."""
    value = put_endpoint(1, 1).entry.value  # type: ignore[union-attr]
    mirror = Mirror(1, [Entry(endpoint_key(1), value, 1, 1, 7)])
    (removed,) = mirror.apply(batch(2, gone(endpoint_key(1), cause)))
    assert removed.cause == (cause or Cause.RESYNC)


def test_keys_are_found_by_their_lease() -> None:
    mine = [Entry(key, b"{", 1, 1, 7) for key in ("v1/instances/x", "pending/v1/mdc/y")]
    others = [Entry("v1/mdc/z", b"", 1, 1, None), Entry("session/7", b"", 1, 1, 7)]
    mirror = Mirror(1, [*mine, *others, Entry("v1/mdc/w", b"", 1, 1, 8)])
    assert set(mirror.keys_of(7)) == {entry.key for entry in mine}
    assert set(mirror.keys_of(8)) == {"v1/mdc/w"}


def test_keys_are_found_by_their_lease_as_it_is_after_changes() -> None:
    mirror = Mirror(1, [Entry(key, b"{", 1, 1, 7) for key in ("v1/mdc/x", "v1/mdc/y")])
    assert set(mirror.keys_of(7)) == {"v1/mdc/x", "v1/mdc/y"}
    news = [Entry("v1/mdc/x", b"{", 2, 1, 8), Entry("v1/mdc/z", b"{", 2, 2, 7)]
    foreign = [Entry("v1/mdc/w", b"{", 2, 2, None), Entry("session/7", b"{", 2, 2, 7)]
    mirror.apply(batch(2, *(Change(entry.key, entry) for entry in [*news, *foreign])))
    assert set(mirror.keys_of(7)) == {"v1/mdc/y", "v1/mdc/z"}
    assert set(mirror.keys_of(8)) == {"v1/mdc/x"}
    mirror.apply(batch(3, gone("v1/mdc/x"), gone("v1/mdc/w"), gone("v1/mdc/never")))
    assert set(mirror.keys_of(8)) == set()


def test_sessions_pending_writes_and_foreign_keys_are_kept_but_never_visible() -> None:
    mirror = Mirror()
    changes = [put(1, k, b"x") for k in ("session/1", "pending/" + model_key(1), "elsewhere")]
    assert mirror.apply(batch(1, *changes)) == []
    assert [entry.key for entry in mirror.sessions()] == ["session/1"]
    assert mirror.get("elsewhere") is not None
    assert mirror.counts() == {}


# ---- contradicting models


def test_a_foreign_model_that_contradicts_surfaces_when_the_incumbent_goes() -> None:
    mirror = Mirror()
    mirror.apply(batch(1, put_model(1, 1, "A")))
    assert mirror.apply(batch(2, put_model(2, 2, "B"))) == []
    assert keys(mirror) == {model_key(1)}
    assert mirror.models_on(EP) == {A: 1, ModelIdentity(display_name="B"): 1}
    shown = mirror.apply(batch(3, gone(model_key(1), Cause.LEASE_EXPIRED)))
    assert [(s.key, s.entry is not None, s.cause) for s in shown] == [
        (model_key(1), False, Cause.LEASE_EXPIRED),
        (model_key(2), True, None),
    ]
    assert mirror.digest(KIND) == item_digest(model_key(2), 2)


def test_an_incumbent_that_changes_its_name_hides_those_after_it() -> None:
    mirror = Mirror(0, [c.entry for c in (put_model(1, 1, "A"), put_model(2, 2, "A")) if c.entry])
    shown = mirror.apply(batch(3, put_model(3, 1, "B", created=1)))
    assert {(s.key, s.entry is not None, s.cause) for s in shown} == {
        (model_key(2), False, Cause.RESYNC),
        (model_key(1), True, None),
    }


def test_who_hides_itself_by_a_put_is_not_gone_by_the_end_of_a_lease() -> None:
    mirror = Mirror(0, [c.entry for c in (put_model(1, 1, "A"), put_model(2, 2, "A")) if c.entry])
    (shown,) = mirror.apply(batch(3, put_model(3, 2, "B", created=2)))
    assert (shown.key, shown.entry, shown.cause) == (model_key(2), None, Cause.RESYNC)


def test_each_key_is_spoken_of_once_even_when_models_are_reshuffled() -> None:
    mirror = Mirror()
    mirror.apply(batch(1, put_model(1, 1, "A")))
    mirror.apply(batch(2, put_model(2, 2, "B")))
    shown = mirror.apply(batch(3, gone(model_key(1)), gone(model_key(2))))
    assert {s.key: s.entry for s in shown} == {model_key(1): None, model_key(2): None}
    assert len(shown) == 2
    assert mirror.models_on(EP) == {}


def test_the_oldest_of_a_model_is_that_of_its_first_record() -> None:
    mirror = Mirror()
    mirror.apply(batch(4, put_model(4, 1, "A")))
    mirror.apply(batch(5, put_model(5, 1, "A", created=4)))
    assert mirror.oldest_model(EP, A) == 4
    assert mirror.oldest_model(ENDPOINTS, A) is None


# ---- unreadable records


def test_unreadable_records_are_counted_and_hidden_and_hide_no_other() -> None:
    mirror = Mirror()
    huge = model(4, "A", note="x" * MAX_VALUE_BYTES)
    bad = {
        model_key(1): b"not json",
        model_key(2): model(3, "A"),
        model_key(4): huge,
        "v1/mdc/n/c": b"{}",
        endpoint_key(1): b"[]",
    }
    changes = [put(1, key, value) for key, value in bad.items()]
    shown = mirror.apply(batch(1, *changes, put_model(1, 9, "A"), put_endpoint(1, 9)))
    assert {s.key for s in shown} == {model_key(9), endpoint_key(9)}
    assert mirror.unreadable.keys() == bad.keys()
    assert "too long" in mirror.unreadable[model_key(4)]
    assert mirror.models_on(EP) == {A: 1}
    mirror.apply(batch(2, *(gone(key) for key in bad)))
    assert mirror.unreadable == {}


def test_a_record_that_becomes_unreadable_goes_and_comes_back() -> None:
    mirror = Mirror()
    mirror.apply(batch(1, put_endpoint(1, 1)))
    (shown,) = mirror.apply(batch(2, put(2, endpoint_key(1), b"?")))
    assert (shown.entry, shown.cause) == (None, Cause.RESYNC)
    assert mirror.apply(batch(3, put_endpoint(3, 1)))[0].entry is not None
    assert mirror.unreadable == {}


def test_a_topic_of_a_namespace_may_be_called_as_one_of_its_components() -> None:
    wide = b'{"type":"EventChannel","namespace":"n","topic":"c","instance_id":1,"scope":{"kind":"namespace","name":"n"},"transport":{"kind":"Nats","config":{"subject_prefix":"p"}}}'  # fmt: skip  # noqa: E501
    wide_key, key = "v1/event_channels/namespace/n/topic/c/1", "v1/event_channels/n/c/t/1"
    mirror = Mirror()
    mirror.apply(batch(1, put(1, wide_key, wide), put(1, key, CHANNEL)))
    assert mirror.unreadable == {}
    assert keys(mirror, ("channels", "n", "c")) == {wide_key, key}
    assert keys(mirror, ("channels", "n", "c", "t")) == {key}
    mirror.apply(batch(2, gone(wide_key)))
    assert keys(mirror, ("channels",)) == {key}
    mirror.apply(batch(3, gone(key)))
    assert mirror.is_empty(("channels",))


# ---- a function of the state alone

STEPS = st.lists(
    st.dictionaries(st.integers(1, 4), st.sampled_from(["A", "B", "?", None]), max_size=3),
    max_size=8,
)


@given(STEPS)
def test_two_mirrors_that_were_fed_differently_agree(steps: list[dict[int, str | None]]) -> None:
    followed = Mirror()
    entries: dict[str, Entry] = {}
    for revision, step in enumerate(steps, 1):
        changes = []
        for owner, name in step.items():
            key, old = model_key(owner), entries.pop(model_key(owner), None)
            if name is not None:
                value = b"?" if name == "?" else model(owner, name)
                created = old.created if old else revision
                entries[key] = Entry(key, value, revision, created, None)
            changes.append(Change(key, entries.get(key)))
        followed.apply(Batch(revision, tuple(changes)))
    loaded = Mirror(len(steps), reversed(entries.values()))
    assert keys(followed) == keys(loaded)
    assert followed.digest(EP) == loaded.digest(EP)
    assert followed.unreadable == loaded.unreadable
    assert followed.models_on(EP) == loaded.models_on(EP)


# ---- catalog and claims


def book(key: str, value: bytes = b"{}", lease: int | None = None) -> Change:
    return Change(key, Entry(key, value, 2, 2, lease))


def test_a_claim_and_its_owner_are_shown_together_whatever_is_in_them() -> None:
    mirror = Mirror()
    record, owner = "models/claims/k", "models/claim-owners/k"
    shown = mirror.apply(Batch(2, (book(record, b"no json"), book(owner, lease=7))))
    assert [one.scope for one in shown] == [("claims", "k")] * 2
    assert keys(mirror, ("claims",)) == {record, owner}
    assert mirror.unreadable == {}
    gone_ = mirror.apply(batch(3, gone(owner, Cause.LEASE_EXPIRED)))
    assert [(one.key, one.entry) for one in gone_] == [(owner, None)]
    assert mirror.digest(("claims", "k")) == item_digest(record, 2)


def test_a_claim_is_nothing_that_its_owner_has_registered() -> None:
    mirror = Mirror()
    mirror.apply(Batch(2, (book("models/claim-owners/k", lease=7),)))
    assert mirror.keys_of(7) == ()
    mirror.apply(Batch(3, (book("models/claim-owners/l", lease=7),)))
    assert mirror.keys_of(7) == ()


def test_the_catalog_is_shown_by_owner_and_name_and_its_heads_are_not() -> None:
    mirror = Mirror()
    row, head = "models/catalog/global/m/1", "models/catalog-heads/global"
    mirror.apply(Batch(2, (book(row), book(head))))
    assert keys(mirror, ("catalog", "global", "m")) == {row}
    assert keys(mirror, ("catalog",)) == {row}
    assert mirror.get(head) is not None


def test_a_key_of_the_books_that_names_nothing_is_unreadable() -> None:
    mirror = Mirror()
    mirror.apply(Batch(2, (book("models/catalog/global"), book("models/claims/a/b"))))
    assert set(mirror.unreadable) == {"models/catalog/global", "models/claims/a/b"}
