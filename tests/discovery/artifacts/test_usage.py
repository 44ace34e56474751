"""Which entries were used when, and which are in use, by claims and cards."""

from __future__ import annotations

from discovery.artifacts.entry import entry_of
from discovery.artifacts.usage import (
    claim_name,
    entries_by_last_use,
    entries_in_use,
    model_entry,
)
from discovery.claimrecord import ClaimRecord, ClaimStatus
from discovery.modelname import ModelName

HERE, THERE = "host:/models", "other:/models"


def model(name: str, version: int = 1, tenant: str | None = None) -> ModelName:
    return ModelName.of(tenant, name, version)


def claim(of: ModelName, cache: str = HERE, provider: str = "File", owner: int | None = None):
    return named(claim_name(cache, provider, of), provider, owner)


def named(name: str, provider: str = "File", owner: int | None = None) -> ClaimRecord:
    return ClaimRecord(
        model_name=name,
        provider=provider,
        status=ClaimStatus.DOWNLOADED if owner is None else ClaimStatus.DOWNLOADING,
        created_at="2026-01-01T00:00:00Z",
        last_used_at="2026-01-01T00:00:00Z",
        owner=owner,
    )


def test_a_claim_is_named_by_cache_provider_model_and_version():
    assert claim_name(HERE, "Gcs", model("org/m", 3)) == "host:/models/Gcs/org/m@3"
    assert claim_name(HERE, "File", model("m", 1, "t")) == "host:/models/File/t::m@1"


def test_the_entry_of_a_model_is_that_of_its_name_version_and_tenant():
    assert model_entry(model("org/m", 3, "t")) == entry_of("org/m", 3, "t")


def test_entries_keep_the_order_of_their_claims():
    models = [model("b"), model("a"), model("org/c@x", 2, "t")]
    assert entries_by_last_use(HERE, map(claim, models)) == [model_entry(m) for m in models]


def test_claims_of_other_caches_and_of_other_kinds_do_not_count():
    others = [
        claim(model("m"), THERE),
        named("m"),
        named(f"{HERE}/File/m"),  # no version
        named(f"{HERE}/File/m@x"),
        named(f"{HERE}/File/m@0"),
        named(f"{HERE}/File/@1"),
        named(f"{HERE}/Gcs/m@1", provider="File"),
        named(f"{HERE}/x/File/m@1"),
    ]
    assert entries_by_last_use(HERE, others) == []
    assert entries_in_use(HERE, others, [{"display_name": "m"}]) == set()


def test_what_is_being_downloaded_is_in_use():
    claims = [claim(model("a")), claim(model("b"), owner=7), claim(model("c"), THERE, owner=7)]
    assert entries_in_use(HERE, claims, []) == {model_entry(model("b"))}


def test_a_card_that_says_which_cache_it_uses_counts_there_only():
    claims = [claim(model("m")), claim(model("m"), THERE)]
    card = {"display_name": "m", "artifact": {"cache": HERE, "entry": "m-1"}}
    assert entries_in_use(HERE, claims, [card]) == {"m-1"}
    assert entries_in_use(THERE, claims, [card]) == set()


def test_a_card_that_does_not_say_it_counts_wherever_a_model_of_its_name_is():
    claims = [claim(model("m", 1)), claim(model("m", 2)), claim(model("m", 1, "t"))]
    claims += [claim(model("n")), claim(model("m", 3), THERE)]
    used = {model_entry(model("m", 1)), model_entry(model("m", 2)), model_entry(model("m", 1, "t"))}
    for artifact in ({}, {"artifact": "x"}, {"artifact": {}}, {"artifact": {"cache": 3}}):
        assert entries_in_use(HERE, claims, [{"display_name": "m", **artifact}]) == used


def test_it_counts_for_what_was_pulled_by_hand_and_has_no_claim_too():
    models = [model("m", 1), model("m", 2, "t"), model("n")]
    assert entries_in_use(HERE, [], [{"display_name": "m"}], models) == {
        model_entry(model("m", 1)),
        model_entry(model("m", 2, "t")),
    }


def test_a_card_that_names_a_record_of_the_catalog_uses_its_entry():
    card = {"display_name": "served as this", "catalog_key": "t::org/m::3"}
    assert entries_in_use(HERE, [], [card]) == {model_entry(model("org/m", 3, "t"))}


def test_a_card_of_which_nothing_can_be_read_uses_nothing():
    cards = [{}, {"display_name": 3, "catalog_key": 3}, {"catalog_key": "no version"}]
    assert entries_in_use(HERE, [claim(model("m"))], cards) == set()
