from __future__ import annotations

import pytest

from discovery.bookkeys import (
    BookEntry,
    BookQuery,
    book_scope,
    catalog_head_key,
    catalog_key,
    catalog_owner,
    catalog_scope,
    claim_key,
    claim_owner_key,
    is_book_key,
)
from discovery.errors import InvalidArgumentError


def test_a_row_lies_below_its_owner_and_name_and_so_does_its_scope():
    owner = catalog_owner("acme")
    key = catalog_key(owner, "org/m-3.1", 2)
    assert key == "models/catalog/tenant.acme/org%2Fm-3%2E1/2"
    assert book_scope(key) == catalog_scope(owner, "org/m-3.1")
    assert book_scope(key) == ("catalog", "tenant.acme", "org%2Fm-3%2E1")


@pytest.mark.parametrize("tenant", ["global", "tenant.x", "a/b", "A", "%61", "ä"])
def test_no_tenant_has_the_part_of_another_or_of_all(tenant):
    parts = [catalog_owner(one) for one in (None, "a", "x", tenant)]
    assert len(set(parts)) == 4
    assert "/" not in parts[-1]


def test_a_claim_and_its_owner_are_in_one_scope():
    for key in (claim_key("mx-cache-a"), claim_owner_key("mx-cache-a")):
        assert is_book_key(key)
        assert book_scope(key) == ("claims", "mx-cache-a")


def test_heads_and_registrations_are_no_records_of_the_books():
    for key in (catalog_head_key("global"), "v1/mdc/n/c/e/1", "session/1", "models/other"):
        assert not is_book_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "models/catalog/global",
        "models/catalog/global/m",
        "models/catalog/global/m/1/2",
        "models/catalog//m/1",
        "models/claims/",
        "models/claims/a/b",
        "models/claim-owners/a\n",
    ],
)
def test_a_key_that_names_nothing_is_refused(key):
    with pytest.raises(InvalidArgumentError):
        book_scope(key)


def test_an_entry_is_known_by_its_key_and_a_query_asks_for_all():
    assert BookEntry("k", b"{}", 3).id == "k"
    assert BookQuery(("claims",)).matches("k")
