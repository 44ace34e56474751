"""Forms of output, without a process."""

from __future__ import annotations

import io
import json

import pytest

from discovery.cli.output import Output, Shape, cell

ROWS = [
    {"id": "a", "model": "short", "size": 1, "extra": {"x": 1}},
    {"id": "b", "model": "x" * 80, "size": None, "extra": {}},
]
COLUMNS = ("id", "model", "+size")


def written(shape, write, *, is_coloured=False):
    stream = io.StringIO()
    write(Output(shape, stream, is_coloured=is_coloured))
    return stream.getvalue()


def test_a_table_cuts_long_cells_and_wide_shows_all():
    table = written(Shape.TABLE, lambda out: out.many(ROWS, COLUMNS)).splitlines()
    assert table[0] == "ID  MODEL"
    assert table[2] == "b   " + "x" * 59 + "…"
    wide = written(Shape.WIDE, lambda out: out.many(ROWS, COLUMNS)).splitlines()
    assert wide[0].split() == ["ID", "MODEL", "SIZE"]
    assert wide[2].split() == ["b", "x" * 80, "-"]


def test_json_is_one_list_and_jsonl_one_object_per_line():
    assert json.loads(written(Shape.JSON, lambda out: out.many(ROWS, COLUMNS))) == ROWS
    lines = written(Shape.JSONL, lambda out: out.many(ROWS, COLUMNS)).splitlines()
    assert [json.loads(line) for line in lines] == ROWS


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape.TABLE, "ID  MODEL  SIZE\n"),
        (Shape.JSON, "[]\n"),
        (Shape.JSONL, ""),
        (Shape.NAME, ""),
    ],
)
def test_nothing_has_a_form_too(shape, expected):
    assert written(shape, lambda out: out.many([], ("id", "model", "size"))) == expected


def test_names_are_ids_or_clients_or_keys_or_models():
    assert written(Shape.NAME, lambda out: out.many(ROWS, COLUMNS)) == "a\nb\n"
    assert written(Shape.NAME, lambda out: out.many([{"client": "c"}], ("client",))) == "c\n"
    assert written(Shape.NAME, lambda out: out.many([{"name": "k", "key": "k::1"}], ())) == "k::1\n"
    assert written(Shape.NAME, lambda out: out.many([{"model_name": "m"}], ())) == "m\n"


def test_columns_of_a_stream_grow_and_never_shrink():
    def write(out):
        rows = out.rows(("event", "id", "cause"))
        rows.start([{"event": "added", "id": "a/b"}])
        rows.row({"event": "removed", "id": "a", "cause": "x"})
        rows.row({"event": "added", "id": "a/b/c/d"})
        rows.row({"event": "removed", "id": "a", "cause": "y"})

    assert written(Shape.TABLE, write).splitlines() == [
        "EVENT    ID   CAUSE",
        "added    a/b  -",
        "removed  a    x",
        "added    a/b/c/d  -",
        "removed  a        y",
    ]


def test_one_thing_is_a_line_for_each_field():
    fields = {"id": "a", "lease": {"ttl_s": 10.0}, "unit": ["x", "y"], "none": [], "is": True}
    assert written(Shape.TABLE, lambda out: out.one(fields)).splitlines() == [
        "id     a",
        "lease  ttl_s=10.0",
        "unit   x",
        "       y",
        "none   -",
        "is     yes",
    ]
    assert written(Shape.NAME, lambda out: out.one(fields)) == "a\n"
    assert json.loads(written(Shape.JSON, lambda out: out.one(fields))) == fields
    assert json.loads(written(Shape.JSONL, lambda out: out.one(fields))) == fields


def test_deep_values_are_spread_over_lines():
    shown = written(Shape.TABLE, lambda out: out.one({"record": {"card": {"n": "é"}}}))
    assert shown.splitlines()[1].strip() == '"card": {'
    assert '"n": "é"' in shown


@pytest.mark.parametrize("shape", list(Shape))
def test_no_form_lets_a_control_character_through(shape):
    evil = "a\x1b[2J\x07\nb\u202e\x9b"
    row = {"id": evil, "model": evil, "deep": {"x": {evil: evil}}, "list": [evil]}
    for write in (
        lambda out: out.many([row], ("id", "model", "deep", "list")),
        lambda out: out.one(row),
        lambda out: out.one({"id": evil, "record": row}),
    ):
        shown = written(shape, write)
        assert all(c.isprintable() or c == "\n" for c in shown), shown
        assert "\nb" not in shown


def test_colours_are_put_around_padded_cells():
    def write(out):
        rows = out.rows(("event", "id"))
        rows.start([{"event": "added", "id": "a"}])

    assert written(Shape.TABLE, write, is_coloured=True).splitlines() == [
        "\x1b[1mEVENT  \x1b[0m  \x1b[1mID\x1b[0m",
        "\x1b[32madded  \x1b[0m  a",
    ]


def test_output_suits_its_stream():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    suited = Output.suiting(Terminal())
    assert (suited.shape, suited.is_coloured) == (Shape.TABLE, True)
    suited = Output.suiting(io.StringIO())
    assert (suited.shape, suited.is_coloured) == (Shape.JSONL, False)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (False, "no"), (1.23456, "1.23"), ({}, "-"), ({"a": 1}, "a=1"), ([1, 2], "1, 2")],
)
def test_cells(value, text):
    assert cell(value) == text
