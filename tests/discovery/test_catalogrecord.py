"""A model of the catalog: its columns, and how they change."""

from __future__ import annotations

import dataclasses

import orjson
import pytest

from discovery.catalogrecord import (
    CatalogRecord,
    CatalogStatus,
    catalog_from_wire,
    decode_catalog,
    described,
    kept_of,
)
from discovery.errors import InvalidArgumentError, RecordError
from discovery.modelname import ModelName
from discovery.store import Entry

T0, T1 = "2026-11-21T18:00:00.000Z", "2026-11-21T19:00:00.000Z"
PLAIN = {
    "model_type": "llm",
    "backend": "vllm",
    "task": "generate",
    "base_model": None,
    "artifact_path": None,
    "config": None,
}


def record(tenant: str | None = None, now: str = T0, **columns: object) -> CatalogRecord:
    return described(ModelName.of(tenant, "org/m", 1), **(PLAIN | columns), now=now)


def stored(record: CatalogRecord, owner: str | None = None, **changes: object) -> CatalogRecord:
    value = orjson.dumps(orjson.loads(record.encode()) | changes)
    return decode_catalog(Entry(record.model.row, value, 7, 1, None), owner)


# ---- columns


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("task", "dance", "task 'dance': expected one of embed, generate, "),
        ("task", None, "task None"),
        ("model_type", "", "model_type '': expected 1 to 4096 bytes"),
        ("backend", 5, "backend 5"),
        ("artifact_path", "", "artifact_path ''"),
        ("base_model", "m", "base_model|catalog key 'm': expected name::version"),
        (
            "base_model",
            "other::m::1",
            "base_model 'other::m::1': expected a model of the same owner",
        ),
        ("config", [1], r"config \[1\]: expected a JSON object"),
        ("config", {"a": float("nan")}, "config.a"),
    ],
)
def test_a_wrong_column_is_named(column, value, text):
    with pytest.raises(InvalidArgumentError, match=text):
        record("t", **{column: value})


@pytest.mark.parametrize("base", ["b::1", "t::b::2"])
def test_a_base_is_a_model_that_the_owner_sees(base):
    assert record("t", base_model=base).base_model == base


# ---- upserts


def test_a_refresh_takes_the_new_columns_and_keeps_creation_and_status():
    old = dataclasses.replace(record(artifact_path="/a"), status=CatalogStatus.RETIRED, revision=3)
    new = record(now=T1, task="embed", backend="http", model_type="embedding", config={"a": 1})
    made = old.refreshed(new)
    assert (made.task, made.backend, made.model_type) == ("embed", "http", "embedding")
    assert (made.config, made.status) == ({"a": 1}, CatalogStatus.RETIRED)
    assert (made.created_at, made.updated_at, made.revision) == (T0, T1, 0)


def test_a_path_is_set_and_never_cleared():
    old = record(artifact_path="/a")
    assert old.refreshed(record()).artifact_path == "/a"
    assert old.refreshed(record(artifact_path="/b")).artifact_path == "/b"


def test_records_that_differ_in_when_they_were_written_say_the_same():
    one = record()
    other = dataclasses.replace(one, updated_at=T1, revision=9)
    assert one.says_the_same_as(other)
    assert not one.says_the_same_as(record(task="embed"))
    assert not record(config={"a": 1}).says_the_same_as(record(config={"a": True}))


def test_what_is_registered_over_a_row_that_cannot_be_read_stays_retired():
    assert kept_of(b'{"status":"retired"}', record()).is_retired
    for value in (b'{"status":"loaded"}', b"{}", b"x"):
        assert kept_of(value, record()) == record()


# ---- what is stored


@pytest.mark.parametrize("tenant", [None, "t"])
def test_what_is_written_reads_back(tenant):
    made = record(tenant, base_model="b::1", artifact_path="/a", config={"x": [1, None]})
    assert stored(made, tenant) == dataclasses.replace(made, revision=7)
    assert catalog_from_wire(made.to_wire()) == made
    assert catalog_from_wire(made.to_wire() | {"revision": "x"}).revision == 0


def test_a_missing_version_reads_as_1():
    assert stored(record(), version=None).version == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"task": "dance"}, "task 'dance'"),
        ({"status": "lost"}, "status 'lost': expected registered or loaded or failed or retired"),
        ({"status": 5}, "status 5"),
        ({"created_at": None}, "created_at"),
        ({"name": "other"}, "is about other::1, which lies elsewhere"),
        ({"version": 2}, "is about org/m::2, which lies elsewhere"),
        ({"tenant": "t"}, "is about org/m::1, which lies elsewhere"),
    ],
)
def test_a_malformed_row_is_an_error_that_names_it_and_the_column(changes, text):
    with pytest.raises(RecordError, match=f"catalog record 'models/catalog/global.*{text}"):
        stored(record(), **changes)


def test_only_what_is_retired_is_not_served():
    assert [stored(record(), status=status).is_retired for status in CatalogStatus] == [
        False,
        False,
        False,
        True,
    ]
