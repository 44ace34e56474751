"""Topics as subjects, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.nats.subjects import pattern_of, subject_of, topic_of

TOPICS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@pytest.mark.parametrize(
    ("topic", "subject"),
    [
        ("", "x.%"),
        ("a", "x.a"),
        ("e/json/models/ns/", "x.e.json.models.ns.%"),
        ("a.b/*/>/ %", "x.a%2Eb.%2A.%3E.%20%25"),
        ("é", "x.%C3%A9"),
    ],
)
def test_a_topic_has_a_subject(topic, subject):
    assert subject_of("x", topic) == subject
    assert topic_of("x", subject) == topic


@given(TOPICS)
def test_every_topic_has_one_that_nats_takes_and_comes_back(topic):
    subject = subject_of("x", topic)
    assert subject.isascii()
    assert all(token and token.isprintable() for token in subject.split("."))
    assert not set(subject) & set(" *>")
    assert topic_of("x", subject) == topic


@given(TOPICS, st.integers(0, 20))
def test_what_is_subscribed_to_for_a_prefix_has_all_topics_with_it(topic, length):
    pattern = pattern_of("x", topic[:length])
    assert pattern.endswith(".>")
    assert subject_of("x", topic).startswith(pattern[:-1])


@pytest.mark.parametrize("subject", ["y.a", "x", "x.%FF", "xx.a"])
def test_what_is_none_of_ours_has_no_topic(subject):
    assert topic_of("x", subject) is None
