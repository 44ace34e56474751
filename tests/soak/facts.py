"""What is registered, as text that can be compared: the store's keys, each with its record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from discovery.keys import format_key
from discovery.wire import encode_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from discovery import Instance
    from discovery.query import Query

    Facts = Mapping[str, str]

_BUCKETS = {"endpoints": "v1/instances/", "models": "v1/mdc/", "channels": "v1/event_channels/"}
_MOST_TOLD = 5


def canonical(record: bytes) -> str:
    """A record's text, whatever the order of its fields."""
    return json.dumps(json.loads(record), sort_keys=True)


def facts_of(instances: Iterable[Instance]) -> dict[str, str]:
    """What a view, a list or a worker says, in the store's words."""
    return {format_key(one.id): canonical(encode_record(one)) for one in instances}


def asked_for(query: Query, facts: Facts) -> dict[str, str]:
    """Those that a query without a topic is about: whose keys begin with its names."""
    kind, *names = query.scope
    start = _BUCKETS[kind] + "".join(f"{name}/" for name in names)
    return {key: record for key, record in facts.items() if key.startswith(start)}


def differences(what: str, right: Facts, found: Facts) -> list[str]:
    """Tell in lines what `found` lacks, has too much or has otherwise, the first few of them."""
    told = [f"{what} lacks {key}" for key in sorted(right.keys() - found.keys())]
    told += [f"{what} has {key}, which is gone" for key in sorted(found.keys() - right.keys())]
    told += [
        f"{what} has {key} as {found[key]}, not {right[key]}"
        for key in sorted(right.keys() & found.keys())
        if right[key] != found[key]
    ]
    more = len(told) - _MOST_TOLD
    return told[:_MOST_TOLD] + ([f"{what}: {more} more"] if more > 0 else [])
