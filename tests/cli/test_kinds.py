"""Kinds and scopes as they are typed."""

from __future__ import annotations

import click
import pytest

import discovery
from discovery.cli.kinds import LEVELS, TABLES, kind_of, names_in, query_of, split_scope
from discovery.cli.typed import card_of, instance_id_of, place_of

ALL = (*LEVELS, *TABLES)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("endpoints", "endpoints"),
        ("Endpoint", "endpoints"),
        ("ep", "endpoints"),
        ("model", "models"),
        ("channel", "channels"),
        ("event-channels", "channels"),
        ("lease", "leases"),
        ("watcher", "watchers"),
    ],
)
def test_a_kind_has_several_names(word, kind):
    assert kind_of(word, ALL) == kind


@pytest.mark.parametrize(
    ("word", "kinds", "said"),
    [
        ("modle", ALL, "did you mean 'model'?"),
        ("zzz", ALL, "unknown kind 'zzz': expected endpoints, models"),
        ("leases", tuple(LEVELS), "expected endpoints, models, channels"),
        ("", ALL, "unknown kind ''"),
    ],
)
def test_another_word_is_no_kind(word, kinds, said):
    with pytest.raises(click.UsageError, match=r".*") as caught:
        kind_of(word, kinds)
    assert said in caught.value.message


def test_a_scope_is_a_query():
    assert split_scope("ep/prod/vllm") == ("endpoints", "prod/vllm")
    assert query_of("endpoints", "") == discovery.EndpointQuery()
    assert query_of("models", "/prod/vllm/") == discovery.ModelQuery(
        namespace="prod", component="vllm"
    )
    assert query_of("channels", "p/c/t") == discovery.EventChannelQuery(
        namespace="p", component="c", topic="t"
    )
    assert names_in("//") == []


def test_a_place_has_three_names():
    assert place_of("a/b/c") == {"namespace": "a", "component": "b", "endpoint": "c"}
    for text in ("", "a/b", "a/b/c/d"):
        with pytest.raises(click.UsageError):
            place_of(text)


def test_an_instance_id_is_typed_in_hex_or_as_the_end_of_an_id():
    assert instance_id_of("1a2b") == 0x1A2B
    assert instance_id_of("models/a/b/c/1a2b/fr") == 0x1A2B


def test_a_card_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(discovery.InvalidArgumentError, match="Is a directory"):
        card_of(str(tmp_path))
