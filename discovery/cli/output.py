"""Forms of output. `jsonl` is stable: fields are added, never renamed or removed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TextIO

import click

_MAX_CELL: Final = 60
_BOLD: Final = "1"
_HEADS: Final = {"ttl_s": "TTL (s)", "seen_s_ago": "SEEN (s ago)"}
_NAMES: Final = ("id", "client", "key", "model_name", "name")
_MIN_WIDTHS: Final = {"event": len("removed")}
_COLOURS: Final = {"added": "32", "updated": "33", "removed": "31"}


class Shape(StrEnum):
    """How results are written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Output:
    """Writes rows to a stream as `shape` says.

    A row is a mapping with its full content; `columns` names what a table shows of it, and those
    that only `wide` shows start with "+".
    """

    shape: Shape
    stream: TextIO
    is_coloured: bool = False

    @classmethod
    def suiting(cls, stream: TextIO) -> Output:
        """Return a table, in colours, for a person at a terminal, JSON lines for a program."""
        is_terminal = stream.isatty()
        return cls(Shape.TABLE if is_terminal else Shape.JSONL, stream, is_coloured=is_terminal)

    @property
    def is_table(self) -> bool:
        """It is for people to read."""
        return self.shape in {Shape.TABLE, Shape.WIDE}

    def many(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Write all of `rows` at once."""
        if self.shape is Shape.JSON:
            self.line(json.dumps(list(rows), indent=2))
        else:
            self.rows(columns).start(rows)

    def rows(self, columns: Sequence[str]) -> Rows:
        """Return what writes a list that may have no end, one row at a time."""
        return Rows(self, columns)

    def one(self, fields: Mapping[str, object], *, name: str = "id") -> None:
        """Write one thing: a line for each field for people; `name` is the field that names it."""
        match self.shape:
            case Shape.JSON:
                self.line(json.dumps(fields, indent=2))
            case Shape.JSONL:
                self.line(json.dumps(fields))
            case Shape.NAME:
                self.line(cell(fields.get(name), limit=None))
            case Shape.TABLE | Shape.WIDE:
                self._fields(fields)

    def line(self, text: str) -> None:
        """Write a line that holds nothing but printable characters.

        Ends the command when nobody reads any more, as `head` does when it has had enough.
        """
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except BrokenPipeError:
            vanish(self.stream)
            raise click.exceptions.Exit(0) from None  # click itself would call it an error

    def _fields(self, fields: Mapping[str, object]) -> None:
        width = max(map(len, fields), default=0)
        for name, value in fields.items():
            lines = _lines(value)
            label = f"{name:<{width}}"
            for at, text in enumerate(lines):
                self.line(f"{label if at == 0 else ' ' * width}  {text}".rstrip())


class Rows:
    """Rows one after another; a table's columns grow when they must, and never shrink."""

    def __init__(self, output: Output, columns: Sequence[str]) -> None:
        self._output = output
        is_wide = output.shape is Shape.WIDE
        self._limit = None if is_wide else _MAX_CELL
        self._columns = [name.removeprefix("+") for name in columns if is_wide or name[0] != "+"]
        self._widths: list[int] = []

    def start(self, rows: Sequence[Mapping[str, object]] = ()) -> None:
        """Write the header of a table, and what there is already; the columns fit all of it."""
        if self._output.is_table:
            heads = [_HEADS.get(name, name.upper().replace("_", " ")) for name in self._columns]
            cells = [heads, *(self._cells(row) for row in rows)]
            self._widths = [_MIN_WIDTHS.get(name, 0) for name in self._columns]
            self._fit(cells)
            self._write(heads, is_header=True)
        for row in rows:
            self.row(row)

    def row(self, row: Mapping[str, object]) -> None:
        """Write one row."""
        match self._output.shape:
            case Shape.JSON | Shape.JSONL:
                self._output.line(json.dumps(row))
            case Shape.NAME:
                name = next((row[field] for field in _NAMES if field in row), None)
                self._output.line(cell(name, limit=None))
            case Shape.TABLE | Shape.WIDE:
                self._write(self._cells(row))

    def _cells(self, row: Mapping[str, object]) -> list[str]:
        return [cell(row.get(name), limit=self._limit) for name in self._columns]

    def _fit(self, lines: Sequence[Sequence[str]]) -> None:
        for cells in lines:
            self._widths = [max(w, len(c)) for w, c in zip(self._widths, cells, strict=True)]

    def _write(self, cells: Sequence[str], *, is_header: bool = False) -> None:
        self._fit([cells])
        padded = [f"{c:<{w}}" for c, w in zip(cells, self._widths, strict=True)]
        padded[-1] = padded[-1].rstrip()
        if self._output.is_coloured:
            padded = [_coloured(text, is_header=is_header) for text in padded]
        self._output.line("  ".join(padded).rstrip())


def vanish(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere, so that the end does not fail of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def cell(value: object, *, limit: int | None = _MAX_CELL) -> str:
    """Return a value as text for a terminal: of one line, printable, cut after `limit`."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name}={item}" for name, item in value.items()) or "-"
    elif isinstance(value, list | tuple):
        text = ", ".join(map(str, value)) or "-"
    elif isinstance(value, float):
        text = f"{value:.3g}"
    else:
        text = str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def _lines(value: object) -> Sequence[str]:
    """Return what `one` shows of a value; what holds further mappings is spread over lines."""
    is_deep = isinstance(value, Mapping) and any(
        isinstance(item, Mapping | list) for item in value.values()
    )
    if is_deep:
        lines = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
        return [cell(line, limit=None) for line in lines]
    if isinstance(value, list | tuple) and value:
        return [cell(item, limit=None) for item in value]
    return [cell(value, limit=None)]


def _coloured(text: str, *, is_header: bool) -> str:
    code = _BOLD if is_header else _COLOURS.get(text.strip())
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"
