from __future__ import annotations

import pytest

from discovery import InvalidArgumentError, NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.eventplane.choosing import chosen_codec, chosen_transport

DIRECT = ZmqTransport(endpoint="tcp://127.0.0.1:1")
NATS = NatsTransport(subject_prefix="p")
BROKER = ZmqBrokerTransport(xsub_endpoints=["tcp://b:1"], xpub_endpoints=["tcp://b:2"])


@pytest.mark.parametrize("asked", ["zmq", "zmq-broker", "nats", DIRECT, BROKER, NATS])
def test_what_is_asked_for_is_used_whatever_the_environment_says(asked):
    assert chosen_transport(asked, {"DISCOVERY_EVENT_PLANE": "smoke"}) == asked


def test_what_is_not_said_is_asked_of_the_environment_and_is_zmq():
    assert chosen_transport(None, {}) == "zmq"
    assert chosen_transport(None, {"DISCOVERY_EVENT_PLANE": "zmq"}) == "zmq"
    assert chosen_transport(None, {"DISCOVERY_EVENT_PLANE": "nats"}) == "nats"


@pytest.mark.parametrize("asked", ["smoke", "", 7])
def test_what_there_is_not_is_refused_with_what_there_is(asked):
    with pytest.raises(InvalidArgumentError, match="expected 'zmq', 'zmq-broker', 'nats'"):
        chosen_transport(asked, {})


def test_generation_a_has_either_codec_and_b_has_one():
    assert chosen_codec(None, "a", "zmq") == "msgpack"
    assert chosen_codec(None, "a", "nats") == chosen_codec(None, "a", NATS) == "json"
    assert chosen_codec("msgpack", "a", "nats") == "msgpack"
    assert chosen_codec("json", "a", BROKER) == "json"
    assert chosen_codec("msgpack", "b", DIRECT) == chosen_codec(None, "b", "zmq") == "msgpack"
    with pytest.raises(InvalidArgumentError, match=r"codec 'json'.*generation b"):
        chosen_codec("json", "b", "zmq")
    with pytest.raises(InvalidArgumentError, match="codec 'yaml': expected 'msgpack' or 'json'"):
        chosen_codec("yaml", "a", "zmq")
