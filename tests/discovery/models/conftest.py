"""Registries for the tests of the model plane: in memory, and in a real etcd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bookplaces import BookPlace

if TYPE_CHECKING:
    from tests.support.etcd import Etcd


@pytest.fixture(params=["memory", "etcd"])
def place(request: pytest.FixtureRequest) -> BookPlace:
    """A registry of the test's own."""
    if request.param == "memory":
        return BookPlace()
    etcd: Etcd = request.getfixturevalue("etcd")
    return BookPlace(etcd.own_url())
