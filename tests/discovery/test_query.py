from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from discovery.errors import InvalidArgumentError
from discovery.ids import parse_id
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery, Query

if TYPE_CHECKING:
    from collections.abc import Callable

NS: dict[str, Any] = {"namespace": "ns"}
COMP = NS | {"component": "comp"}
EP = COMP | {"endpoint": "ep"}
TOPIC = COMP | {"topic": "t"}


@pytest.mark.parametrize(
    ("query", "scope", "level"),
    [
        (EndpointQuery(), ("endpoints",), 0),
        (EndpointQuery(**NS), ("endpoints", "ns"), 1),
        (EndpointQuery(**COMP), ("endpoints", "ns", "comp"), 2),
        (EndpointQuery(**EP), ("endpoints", "ns", "comp", "ep"), 3),
        (ModelQuery(), ("models",), 0),
        (ModelQuery(**NS), ("models", "ns"), 1),
        (ModelQuery(**COMP), ("models", "ns", "comp"), 2),
        (ModelQuery(**EP), ("models", "ns", "comp", "ep"), 3),
        (EventChannelQuery(), ("channels",), 0),
        (EventChannelQuery(**NS), ("channels", "ns"), 1),
        (EventChannelQuery(**COMP), ("channels", "ns", "comp"), 2),
        (EventChannelQuery(**TOPIC), ("channels", "ns", "comp"), 3),
    ],
)
def test_a_query_has_a_scope_and_a_level(query: Query, scope: tuple[str, ...], level: int) -> None:
    assert query.scope == scope
    assert query.scope_level == level
    assert query.kind == scope[0]


@pytest.mark.parametrize(
    ("query", "matched", "passed_over"),
    [
        (EndpointQuery(), "endpoints/ns/comp/ep/1", "models/ns/comp/ep/1"),
        (EndpointQuery(**NS), "endpoints/ns/comp/ep/1", "endpoints/ns2/comp/ep/1"),
        (EndpointQuery(**COMP), "endpoints/ns/comp/ep/1", "endpoints/ns/comp2/ep/1"),
        (EndpointQuery(**EP), "endpoints/ns/comp/ep/1", "endpoints/ns/comp/ep2/1"),
        (ModelQuery(), "models/ns/comp/ep/1", "endpoints/ns/comp/ep/1"),
        (ModelQuery(**NS), "models/ns/comp/ep/1/lora", "models/n/comp/ep/1"),
        (ModelQuery(**COMP), "models/ns/comp/ep/1", "models/ns/comp2/ep/1"),
        (ModelQuery(**EP), "models/ns/comp/ep/1/lora", "models/ns/comp/e/1"),
        (EventChannelQuery(), "channels/ns/t/1", "endpoints/ns/comp/ep/1"),
        (EventChannelQuery(**NS), "channels/ns/t/1", "channels/ns2/t/1"),
        (EventChannelQuery(**COMP), "channels/ns/comp/t/1", "channels/ns/comp2/t/1"),
        (EventChannelQuery(**COMP), "channels/ns/comp/ep/t/1", "channels/ns/comp/1"),
        (EventChannelQuery(**TOPIC), "channels/ns/comp/t/1", "channels/ns/comp/t2/1"),
        (EventChannelQuery(**TOPIC), "channels/ns/comp/ep/t/1", "channels/ns/comp/t/u/1"),
    ],
)
def test_a_query_matches_whole_names_of_its_own_kind(
    query: Query, matched: str, passed_over: str
) -> None:
    assert query.matches(parse_id(matched))
    assert not query.matches(parse_id(passed_over))


@pytest.mark.parametrize("make", [EndpointQuery, ModelQuery])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"component": "c"}, "component 'c' needs the names above it: expected a namespace too"),
        ({"endpoint": "e"}, "endpoint 'e' needs the names above it: expected a namespace too"),
        (NS | {"endpoint": "e"}, "endpoint 'e' needs the names above it: expected a component too"),
        ({"namespace": "a/b"}, "namespace 'a/b' contains '/'"),
        (NS | {"component": ""}, "component '' is empty"),
        (COMP | {"endpoint": 7}, "endpoint must be a string, got 7"),
    ],
)
def test_a_deeper_name_needs_the_names_above_it(
    make: Callable[..., Query], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(words)):
        make(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"component": "c"}, "component 'c' needs the names above it: expected a namespace too"),
        ({"topic": "t"}, "topic 't' needs the names above it: expected a namespace too"),
        (NS | {"topic": "t"}, "topic 't' needs the names above it: expected a component too"),
        (COMP | {"topic": ".."}, "topic '..' is a relative path"),
    ],
)
def test_a_topic_needs_namespace_and_component(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(words)):
        EventChannelQuery(**fields)


def test_equal_queries_are_one_key() -> None:
    assert len({EndpointQuery(**NS), EndpointQuery(**NS), ModelQuery(**NS)}) == 2
