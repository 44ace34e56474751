from __future__ import annotations

import pytest

from discovery import InvalidArgumentError, NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.eventplane.choosing import chosen_codec, chosen_transport

DIRECT = ZmqTransport(endpoint="tcp://127.0.0.1:1")
BROKER = ZmqBrokerTransport(xsub_endpoints=["tcp://b:1"], xpub_endpoints=["tcp://b:2"])


@pytest.mark.parametrize("asked", ["zmq", "zmq-broker", DIRECT, BROKER])
def test_what_is_asked_for_is_used_whatever_the_environment_says(asked):
    assert chosen_transport(asked, {"DISCOVERY_EVENT_PLANE": "nats"}) == asked


def test_what_is_not_said_is_asked_of_the_environment_and_is_zmq():
    assert chosen_transport(None, {}) == "zmq"
    assert chosen_transport(None, {"DISCOVERY_EVENT_PLANE": "zmq"}) == "zmq"
    with pytest.raises(InvalidArgumentError, match="no events over NATS"):
        chosen_transport(None, {"DISCOVERY_EVENT_PLANE": "nats"})


@pytest.mark.parametrize("asked", ["nats", NatsTransport(subject_prefix="p"), "smoke", "", 7])
def test_what_there_is_not_is_refused_with_what_there_is(asked):
    with pytest.raises(InvalidArgumentError, match="expected 'zmq', 'zmq-broker'"):
        chosen_transport(asked, {})


def test_generation_a_has_either_codec_and_b_has_one():
    assert chosen_codec(None, "a", "zmq") == "msgpack"
    assert chosen_codec("json", "a", BROKER) == "json"
    assert chosen_codec("msgpack", "b", DIRECT) == chosen_codec(None, "b", "zmq") == "msgpack"
    with pytest.raises(InvalidArgumentError, match=r"codec 'json'.*generation b"):
        chosen_codec("json", "b", "zmq")
    with pytest.raises(InvalidArgumentError, match="codec 'yaml': expected 'msgpack' or 'json'"):
        chosen_codec("yaml", "a", "zmq")
