from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.events import Cause
from discovery.messages import (
    beat_from_wire,
    beat_to_wire,
    beat_topic,
    commit_from_wire,
    commit_to_wire,
    event_from_wire,
    event_to_wire,
    event_topic,
    goodbye_to_wire,
    is_goodbye,
    record_from_wire,
    record_to_wire,
)
from discovery.protocol import Beat, Commit, Event, ItemChange, Record, ScopeHead
from tests.discovery.strategies import SEGMENTS
from tests.discovery.test_fields import JUNK
from transports.codec import JSON, MSGPACK
from transports.frame import pack, unpack

NUMBERS = st.integers(0, 2**64 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCOPES = st.tuples(st.sampled_from(["endpoints", "models", "channels"])) | st.builds(
    lambda kind, names: (kind, *names),
    st.sampled_from(["endpoints", "models", "channels"]),
    st.lists(SEGMENTS, max_size=3),
)
RECORDS = st.builds(Record, TEXTS, NUMBERS, TEXTS.map(str.encode), st.none()) | st.builds(
    Record, TEXTS, NUMBERS, st.none(), st.none() | st.sampled_from(Cause), st.none() | TEXTS
)
COMMITS = st.builds(Commit, NUMBERS, st.lists(RECORDS, max_size=3))
EVENTS = SCOPES.flatmap(
    lambda scope: st.builds(
        Event,
        daemon=TEXTS,
        epoch=TEXTS,
        revision=NUMBERS,
        scope=st.just(scope),
        prev=st.tuples(*[NUMBERS for _ in scope]),
        parts=st.tuples(*[st.integers(1, 9) for _ in scope]),
        part=NUMBERS,
        is_doubtful=st.booleans(),
        changes=st.lists(RECORDS, max_size=3),
    )
)
BEATS = st.builds(
    Beat,
    daemon=TEXTS,
    epoch=TEXTS,
    number=NUMBERS,
    head=NUMBERS,
    window=NUMBERS,
    scopes=st.lists(st.builds(ScopeHead, SCOPES, NUMBERS, NUMBERS), max_size=3),
    is_recovering=st.booleans(),
    age_s=st.floats(0, 1e9),
    time_s=st.floats(-1e9, 1e9),
    part=st.integers(0, 9),
    parts=st.integers(1, 1 << 20),
)
CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
RECORD = Record("k", 7, b"{}")
EVENT = Event(
    daemon="d",
    epoch="e",
    revision=7,
    scope=("models", "prod"),
    prev=(1, 2),
    parts=(1, 1),
    part=0,
    is_doubtful=False,
    changes=[RECORD],
)
BEAT = Beat(
    daemon="d",
    epoch="e",
    number=1,
    head=7,
    window=3,
    scopes=[ScopeHead(("models",), 7, 9)],
    is_recovering=False,
    age_s=0.0,
    time_s=1.0,
)


def keep(record: Record) -> ItemChange:
    return record  # type: ignore[return-value] - the record itself, to compare


def test_topics_start_with_those_of_the_scopes_above():
    assert event_topic("json", ("models", "a", "b")) == "e/json/models/a/b/"
    assert event_topic("json", ("models", "a", "b")).startswith(event_topic("json", ("models",)))
    assert not event_topic("json", ("models", "ab")).startswith(
        event_topic("json", ("models", "a"))
    )
    assert beat_topic("json") == "b/json/"


@CODECS
@given(record=RECORDS)
def test_a_record_comes_back(codec, record):
    assert record_from_wire("r", codec.decode(codec.encode(record_to_wire(record)))) == record


@CODECS
@given(commit=COMMITS)
def test_a_commit_comes_back(codec, commit):
    wire = codec.decode(codec.encode(commit_to_wire(commit)))
    assert commit_from_wire("c", wire, keep) == commit


@CODECS
@given(event=EVENTS)
def test_an_event_comes_back(codec, event):
    assert event_from_wire(codec.decode(codec.encode(event_to_wire(event))), keep) == event


@CODECS
@given(beat=BEATS)
def test_a_beat_comes_back(codec, beat):
    assert beat_from_wire(codec.decode(codec.encode(beat_to_wire(beat)))) == beat


def test_a_cause_of_a_newer_version_reads_as_resync():
    assert record_from_wire("r", ["k", 7, None, "eaten"]).cause is Cause.RESYNC


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["k", 7, "{}"],
        ["k", 7, "{}", None, None],
        ["k", 7, "{}", None, "detail"],
        ["k", 7, None, "crashed", 137],
        ["k", 7, None, "crashed", None],
        ["k", 7, None, "crashed", "detail", 1],
        [1, 7, "{}", None],
        ["k", "7", "{}", None],
        ["k", True, "{}", None],
        ["k", -1, "{}", None],
        ["k", -1, None, None],
        ["k", 7, b"{}", None],
        ["k", 7, "{}", "resync"],
        ["k", 7, None, 1],
        ["k", 7, None, ["resync"]],
        ["k", 7, "\ud800", None],
    ],
)
def test_what_is_no_record_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^here: expected "):
        record_from_wire("here", value)


@pytest.mark.parametrize(
    "value", [None, [], [7], [7, None], ["7", []], [True, []], [-1, []], [7, [], 1], [7, [1]]]
)
def test_what_is_no_commit_is_refused(value):
    with pytest.raises(InvalidArgumentError, match=r"^here: expected "):
        commit_from_wire("here", value, keep)


@pytest.mark.parametrize("name", list(event_to_wire(EVENT)))
@pytest.mark.parametrize("value", [None, [None], {"a": 1}, "\ud800/", 1.5, ["models", ""]])
def test_a_wrong_field_of_an_event_is_named(name, value):
    if isinstance(value, str) and name in ("daemon", "epoch"):
        return
    with pytest.raises(InvalidArgumentError, match=rf"^event\.{name}"):
        event_from_wire(event_to_wire(EVENT) | {name: value}, keep)


@pytest.mark.parametrize("name", list(beat_to_wire(BEAT)))
@pytest.mark.parametrize("value", [None, [None], {"a": 1}, "x", [["models"], 1, 2, 3]])
def test_a_wrong_field_of_a_beat_is_named(name, value):
    if isinstance(value, str) and name in ("daemon", "epoch"):
        return
    with pytest.raises(InvalidArgumentError, match=rf"^beat\.{name}"):
        beat_from_wire(beat_to_wire(BEAT) | {name: value})


@pytest.mark.parametrize(
    "head", [1, [], [["models"], 1], [["models"], -1, 1], [["models"], 1, "2"], [["x"], 1, 2]]
)
def test_a_wrong_scope_of_a_beat_is_named(head):
    with pytest.raises(InvalidArgumentError, match=r"^beat\.scopes\[1\]"):
        beat_from_wire(beat_to_wire(BEAT) | {"scopes": [[["models"], 1, 2], head]})


@pytest.mark.parametrize("parts", [0, (1 << 20) + 1])
def test_a_beat_has_a_sane_number_of_parts(parts):
    with pytest.raises(InvalidArgumentError, match=r"^beat\.parts: expected an integer from 1"):
        beat_from_wire(beat_to_wire(BEAT) | {"parts": parts})


@pytest.mark.parametrize("short", [{"prev": [1]}, {"parts": [1, 1, 1]}])
def test_an_event_has_a_number_for_each_level(short):
    with pytest.raises(InvalidArgumentError, match="expected 2 of each, one a level"):
        event_from_wire(event_to_wire(EVENT) | short, keep)


@pytest.mark.parametrize("read", [lambda v: event_from_wire(v, keep), beat_from_wire])
def test_fields_nobody_knows_are_refused(read):
    wire = event_to_wire(EVENT) if read is not beat_from_wire else beat_to_wire(BEAT)
    with pytest.raises(InvalidArgumentError, match="unknown field 'extra'"):
        read(wire | {"extra": 1})


@given(JUNK, st.sampled_from([*event_to_wire(EVENT), None]))
def test_junk_in_an_event_is_refused_and_nothing_else_happens(value, name):
    with suppress(InvalidArgumentError):
        event_from_wire(event_to_wire(EVENT) | {name: value} if name else value, keep)


@given(JUNK, st.sampled_from([*beat_to_wire(BEAT), None]))
def test_junk_in_a_beat_is_refused_and_nothing_else_happens(value, name):
    with suppress(InvalidArgumentError):
        beat_from_wire(beat_to_wire(BEAT) | {name: value} if name else value)


@CODECS
def test_a_goodbye_is_of_one_daemon_and_is_no_beat(codec):
    _, value = unpack(pack(codec, goodbye_to_wire("d")))
    assert is_goodbye(value, "d")
    assert not is_goodbye(value, "e")
    assert not is_goodbye(beat_to_wire(BEAT), "d")
    with pytest.raises(InvalidArgumentError):
        beat_from_wire(value)
