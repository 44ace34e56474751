from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from discovery.contest import Contest
from discovery.identity import ModelIdentity, is_compatible

A, B = ModelIdentity(display_name="A"), ModelIdentity(display_name="B")
A_AT_P = ModelIdentity(display_name="A", source_path="p")
A_AT_Q = ModelIdentity(display_name="A", source_path="q")
LORA_OF_P = ModelIdentity(display_name="x", source_path="p", is_lora=True)
LORA_OF_A = ModelIdentity(display_name="A", is_lora=True)
ALL = (A, B, A_AT_P, A_AT_Q, LORA_OF_P, LORA_OF_A)


def test_records_of_one_model_are_all_visible_in_order_of_creation() -> None:
    contest = Contest()
    contest.put("k2", 2, A)
    contest.put("k1", 1, A)
    assert contest.is_clean
    assert contest.visible() == ["k1", "k2"]
    assert contest.counts == {A: 2}


def test_the_later_of_two_that_contradict_is_hidden_until_the_earlier_goes() -> None:
    contest = Contest()
    contest.put("k1", 1, A)
    contest.put("k2", 2, B)
    assert not contest.is_clean
    assert contest.visible() == ["k1"]
    contest.drop("k1")
    assert contest.is_clean
    assert contest.visible() == ["k2"]


def test_of_two_of_one_revision_the_lower_key_wins() -> None:
    contest = Contest()
    contest.put("k2", 1, B)
    contest.put("k1", 1, A)
    assert contest.visible() == ["k1"]


def test_a_record_must_suit_all_before_it_the_hidden_ones_too() -> None:
    contest = Contest()
    for created, identity in enumerate((A, B, A)):
        contest.put(f"k{created}", created, identity)
    assert contest.visible() == ["k0"]


def test_compatibility_is_not_transitive() -> None:
    contest = Contest()
    contest.put("k1", 1, A_AT_P)
    contest.put("k2", 2, A_AT_Q)
    assert contest.is_clean
    contest.put("k3", 3, LORA_OF_P)
    assert contest.visible() == ["k1", "k2"]


def test_a_thousand_adapters_of_one_base_are_one_stance() -> None:
    contest = Contest()
    contest.put("base", 1, A_AT_P)
    for number in range(1000):
        name = f"x{number}"
        contest.put(name, 2, ModelIdentity(display_name=name, source_path="p", is_lora=True))
    assert contest.is_clean
    assert len(contest._stances) == 2


def test_the_oldest_of_an_identity_is_known() -> None:
    contest = Contest()
    contest.put("k1", 5, A)
    contest.put("k2", 3, A)
    assert contest.oldest(A) == 3
    assert contest.oldest(B) is None


def test_dropping_what_is_not_there_is_no_error() -> None:
    contest = Contest()
    contest.drop("k")
    assert contest.visible() == []


def test_a_record_that_changes_its_identity_counts_once() -> None:
    contest = Contest()
    contest.put("k1", 1, A)
    contest.put("k1", 1, B)
    assert contest.is_clean
    assert contest.counts == {B: 1}


PUTS = st.tuples(st.sampled_from("abcd"), st.integers(1, 3), st.sampled_from(ALL))


@given(st.lists(PUTS, max_size=8))
def test_it_agrees_with_the_rule_said_plainly(puts: list[tuple[str, int, ModelIdentity]]) -> None:
    contest = Contest()
    members: dict[str, tuple[int, ModelIdentity]] = {}
    for key, created, identity in puts:
        contest.put(key, created, identity)
        members[key] = (created, identity)
    order = sorted((created, key) for key, (created, _) in members.items())
    seen = [
        key
        for at, (_, key) in enumerate(order)
        if all(is_compatible(members[key][1], members[other][1]) for _, other in order[:at])
    ]
    assert contest.visible() == seen
    assert contest.is_clean == (len(seen) == len(members))


@given(st.lists(st.sampled_from(ALL), max_size=4))
def test_the_order_of_arrival_does_not_matter(identities: list[ModelIdentity]) -> None:
    members = [(f"k{n}", n, identity) for n, identity in enumerate(identities)]
    outcomes = set()
    for order in permutations(members):
        contest = Contest()
        for member in order:
            contest.put(*member)
        outcomes.add((contest.is_clean, tuple(contest.visible())))
    assert len(outcomes) == 1
