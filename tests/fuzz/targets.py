"""Every target, by name."""

from __future__ import annotations

from tests.fuzz import of_clients, of_events, of_messages, of_records, of_settings, of_transports

TARGETS = {
    target.name: target
    for module in (of_transports, of_records, of_messages, of_clients, of_events, of_settings)
    for target in module.TARGETS
}
