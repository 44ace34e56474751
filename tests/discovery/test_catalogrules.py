"""The catalog as a tenant sees it, and which models it keeps from being served."""

from __future__ import annotations

import dataclasses

import pytest

from discovery.catalogrecord import CatalogRecord, CatalogStatus, described
from discovery.catalogrules import find, head_guard, own_then_global, serving_guards, visible
from discovery.errors import InvalidArgumentError, RecordError
from discovery.mirror import Mirror, RefusedOnMirrorError
from discovery.modelname import ModelName
from discovery.store import AtRevision, Entry

AT = "2026-11-21T18:00:00.000Z"


def row(tenant: str | None, name: str, version: int = 1, *, is_retired: bool = False) -> Entry:
    model = ModelName.of(tenant, name, version)
    made = described(
        model,
        model_type="llm",
        backend="vllm",
        task="generate",
        base_model=None,
        artifact_path=None,
        config=None,
        now=AT,
    )
    status = CatalogStatus.RETIRED if is_retired else CatalogStatus.REGISTERED
    value = dataclasses.replace(made, status=status).encode()
    return Entry(model.row, value, version, 1, None)


def mirror(*rows: Entry) -> Mirror:
    return Mirror(9, rows)


def key_of(found: CatalogRecord | None) -> str | None:
    return found.key if found else None


def test_a_name_is_the_tenants_own_before_it_is_everybodys():
    m = mirror(row(None, "m", 9), row("a", "m", 2), row("b", "m", 3))
    assert own_then_global("a") == ["a", None]
    assert key_of(find(m, "a", "m", None)) == "a::m::2"
    assert key_of(find(m, "c", "m", None)) == "m::9"
    assert key_of(find(m, None, "m", None)) == "m::9"


def test_the_highest_version_is_found_by_its_number_and_retired_ones_too():
    m = mirror(row(None, "m", 9), row(None, "m", 10, is_retired=True))
    assert key_of(find(m, None, "m", None)) == "m::10"
    assert key_of(find(m, None, "m", 9)) == "m::9"
    assert find(m, None, "m", 1) is None
    assert find(m, None, "n", None) is None


def test_a_version_is_looked_for_in_both_parts():
    m = mirror(row("a", "m", 2), row(None, "m", 1))
    assert key_of(find(m, "a", "m", 1)) == "m::1"
    assert key_of(find(m, "a", "m", 2)) == "a::m::2"
    assert find(m, None, "m", 2) is None


def test_a_malformed_row_is_an_error_where_it_is_asked_for_and_no_end_to_a_list():
    bad = dataclasses.replace(row(None, "m"), value=b"{}")
    m = mirror(bad, row(None, "n"))
    with pytest.raises(RecordError):
        find(m, None, "m", None)
    kinds = sorted(type(one).__name__ for one in visible(m, None))
    assert kinds == ["CatalogRecord", "RecordError"]


def test_a_row_whose_version_is_no_number_is_older_than_any():
    good = row(None, "m")
    bad = dataclasses.replace(good, key=good.key[:-1] + "x")
    assert key_of(find(mirror(bad, good), None, "m", None)) == "m::1"


def test_a_tenant_sees_its_own_and_everybodys():
    m = mirror(row(None, "g"), row("a", "x"), row("b", "y"))
    assert {one.key for one in visible(m, "a")} == {"g::1", "a::x::1"}
    assert {one.key for one in visible(m, None)} == {"g::1"}


# ---- what is served


def guards(m: Mirror, tenant: str | None, **card: object) -> list[object]:
    return serving_guards(m, tenant, {"k": card})


def test_without_models_the_catalog_does_not_matter():
    assert serving_guards(mirror(), "a", {}) == []


def test_a_registration_holds_only_while_the_catalog_is_as_it_was():
    head = Entry("models/catalog-heads/global", b"{}", 5, 1, None)
    m = mirror(head)
    assert head_guard(m, None) == AtRevision(head.key, 5)
    own = AtRevision("models/catalog-heads/tenant.a", 0)
    assert guards(m, "a", display_name="m") == [own, AtRevision(head.key, 5)]
    assert guards(m, None, display_name="m") == [AtRevision(head.key, 5)]


@pytest.mark.parametrize("tenant", [None, "a"])
def test_a_retired_model_is_not_served_by_its_display_name(tenant):
    m = mirror(row(tenant, "m", is_retired=True))
    with pytest.raises(RefusedOnMirrorError, match="m::1': retired in the catalog"):
        guards(m, tenant, display_name="m")
    assert guards(m, tenant, display_name="n")
    assert guards(m, tenant, display_name="m", catalog_key="n::1")


def test_the_catalog_key_of_a_card_goes_before_its_name():
    m = mirror(row(None, "m"), row(None, "old", 2, is_retired=True))
    with pytest.raises(RefusedOnMirrorError, match="old::2"):
        guards(m, "a", display_name="m", catalog_key="old::2")
    assert guards(m, "a", display_name="old", catalog_key="m::1")
    with pytest.raises(RefusedOnMirrorError, match="old::2"):
        guards(m, "a", display_name="old", catalog_key=None)


def test_nothing_is_inferred_of_another_tenants_models():
    m = mirror(row("b", "m", is_retired=True))
    assert guards(m, "a", display_name="m", catalog_key="b::m::1")
    assert guards(m, None, display_name="m", catalog_key="b::m::1")


def test_a_name_that_no_model_of_the_catalog_can_have_is_served():
    assert guards(mirror(), None, display_name="a::b")


@pytest.mark.parametrize(("key", "text"), [("m", "catalog key 'm'"), (5, "expected a text, got 5")])
def test_a_wrong_catalog_key_is_refused(key, text):
    with pytest.raises(InvalidArgumentError, match=f"card.catalog_key: {text}"):
        guards(mirror(), None, display_name="m", catalog_key=key)


def test_a_retired_row_is_not_served_whatever_else_is_wrong_with_it():
    good = row(None, "m", is_retired=True)
    bad = dataclasses.replace(good, value=good.value.replace(b'"generate"', b'"dance"'))
    with pytest.raises(RefusedOnMirrorError, match="m::1': retired"):
        guards(mirror(bad), None, display_name="m")
    nameless = dataclasses.replace(good, value=b'{"status":"retired"}')
    with pytest.raises(RefusedOnMirrorError, match="models/catalog/global/m/1': retired"):
        guards(mirror(nameless), None, display_name="m")
    assert guards(mirror(dataclasses.replace(good, value=b"x")), None, display_name="m")


def test_a_version_of_thousands_of_digits_is_older_than_any():
    good = row(None, "m")
    bad = dataclasses.replace(good, key=good.key + "9" * 5000)
    assert key_of(find(mirror(bad, good), None, "m", None)) == "m::1"
