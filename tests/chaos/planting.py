"""Bugs of the simulation in real processes, to see that they are found there as well."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.simulation.bugs import planted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

BUG = "DISCOVERYD_CHAOS_BUG"
"""The variable that names the one to plant in every daemon, worker and router."""


def planted_as_told() -> AbstractContextManager[None]:
    """Plant what the environment names, if anything."""
    return planted(os.environ.get(BUG) or None)
