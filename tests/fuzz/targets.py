"""Every target, by name."""

from __future__ import annotations

from tests.fuzz import (
    of_artifacts,
    of_books,
    of_clients,
    of_events,
    of_messages,
    of_records,
    of_settings,
    of_transports,
)

MODULES = (
    of_transports,
    of_records,
    of_messages,
    of_clients,
    of_events,
    of_settings,
    of_books,
    of_artifacts,
)

TARGETS = {target.name: target for module in MODULES for target in module.TARGETS}
