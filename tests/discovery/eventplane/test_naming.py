from __future__ import annotations

import pytest

from discovery import EventChannelId
from discovery.errors import InvalidArgumentError
from discovery.eventplane.naming import (
    end_topic,
    sent_by_detail,
    sent_detail,
    subject,
    subject_prefix,
)
from discovery.names import check_segment


def test_the_subject_of_generation_b_is_the_peers():
    channel = EventChannelId(
        namespace="ns.one",
        component="worker/*",
        endpoint="generate.>",
        topic="kv.events/*",
        instance_id=1,
    )
    assert subject(channel, "b") == (
        "namespace.ns%2Eone.component.worker%2F%2A.endpoint.generate%2E%3E.kv%2Eevents%2F%2A"
    )


def test_the_subject_of_each_scope():
    scopes = [{}, {"component": "c"}, {"component": "c", "endpoint": "e"}]
    channels = [EventChannelId(namespace="n", topic="t", instance_id=1, **one) for one in scopes]
    assert [subject(one, "b") for one in channels] == [
        "namespace.n.t",
        "namespace.n.component.c.t",
        "namespace.n.component.c.endpoint.e.t",
    ]
    assert subject_prefix(channels[1], "a") == "namespace.n.component.c"


def test_generation_a_writes_names_as_they_are():
    channel = EventChannelId(namespace="n.1", component="c", topic="t.2", instance_id=1)
    assert subject(channel, "a") == "namespace.n.1.component.c.t.2"


def test_no_topic_is_the_word_of_an_end_but_every_one_is_a_prefix_of_its_own():
    assert end_topic("kv").startswith("kv")
    with pytest.raises(InvalidArgumentError):
        check_segment("topic", end_topic("kv"))


def test_how_many_events_were_sent_is_read_from_the_detail_of_a_removal():
    assert sent_by_detail(sent_detail(2**64 - 1)) == 2**64 - 1


@pytest.mark.parametrize(
    "detail",
    [None, "", "sent", "sent -1", "sent x", "sent \uff11", "sent 1 ", "sent " + "9" * 5000],
)
def test_another_detail_says_nothing_of_how_many_were_sent(detail):
    """Found by reading with a fuzzer in mind: 5,000 digits are no integer to Python."""
    assert sent_by_detail(detail) is None
