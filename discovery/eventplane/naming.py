"""What events are called on the wire: topics and subjects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from discovery.errors import InvalidArgumentError
from discovery.keys import encode_segment
from discovery.names import check_segment, shown
from discovery.query import EventChannelQuery

if TYPE_CHECKING:
    from discovery.ids import EventChannelId
    from discovery.names import Generation

BROKER_COMPONENT: Final = "zmq_broker"
"""Below which brokers are registered in their namespace (spec/discovery.md §5.6)."""

_END: Final = "/end"
_SENT: Final = "sent"
_SENT_BY: Final = re.compile(f"{_SENT} ([0-9]{{1,20}})")  # as many digits as 64 bits take
_WORDS: Final = ("namespace", "component", "endpoint")


def end_topic(topic: str) -> str:
    """Return the topic under which a publisher of `topic` says that it ends.

    No topic has a slash, so nobody takes it for an event. Whoever subscribed to `topic` receives
    it, since it has that for a prefix, and the peer ignores it (spec/discovery.md §5.2).
    """
    return topic + _END


def sent_detail(sent: int) -> str:
    """Return what the removal of a channel says of how many events were published."""
    return f"{_SENT} {sent}"


def sent_by_detail(detail: str | None) -> int | None:
    """Return how many events were published in all, if the removal of a channel says that."""
    found = _SENT_BY.fullmatch(detail or "")
    return int(found[1]) if found else None


def subject_prefix(channel: EventChannelId, generation: Generation) -> str:
    """Return the subject of a channel without its topic.

    Generation b percent-encodes the names (spec/discovery.md §5.3); in generation a, whose names
    stand as they are, those with a dot can be taken for others.
    """
    *owners, _ = channel.path
    names = [encode_segment(name) if generation == "b" else name for name in owners]
    return ".".join(part for pair in zip(_WORDS, names, strict=False) for part in pair)


def subject(channel: EventChannelId, generation: Generation) -> str:
    """Return the subject of a channel: what NATS and brokers call its events."""
    return f"{subject_prefix(channel, generation)}.{topic_name(channel.topic, generation)}"


def topic_name(topic: str, generation: Generation) -> str:
    """Return what a topic is called in a subject."""
    return encode_segment(topic) if generation == "b" else topic


def brokers_of(namespace: str) -> EventChannelQuery:
    """Return the query for the brokers of a namespace."""
    return EventChannelQuery(namespace=namespace, component=BROKER_COMPONENT)


def check_scope(topic: object, namespace: object, component: object, endpoint: object) -> None:
    """Refuse names that no channel can have.

    Raises:
        InvalidArgumentError: naming the field.
    """
    check_segment("topic", topic)
    check_segment("namespace", namespace)
    if component is not None:
        check_segment("component", component)
    if endpoint is not None:
        check_segment("endpoint", endpoint)
        if component is None:
            raise InvalidArgumentError(
                f"endpoint {shown(endpoint)} needs a component: expected both or no endpoint"
            )
