from __future__ import annotations

from discovery.protocol import item_digest


def test_the_digest_of_a_record_is_the_same_in_every_version() -> None:
    assert item_digest("v1/mdc/n/c/e/1", 7) == 0xF7F39CF96874CCC4


def test_key_and_revision_both_count() -> None:
    one = item_digest("k", 1)
    assert len({one, item_digest("k", 2), item_digest("l", 1), item_digest("k|1", 1)}) == 4
    assert 0 <= one < 2**64
