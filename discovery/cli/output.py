"""Forms of output. `jsonl` is stable: fields are added, never renamed or removed."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_CELL = 60


class Shape(StrEnum):
    """How results are written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    NAME = "name"

    @classmethod
    def for_stream(cls, stream: TextIO) -> Shape:
        """Return a table for a person, JSON lines for a program."""
        return cls.TABLE if stream.isatty() else cls.JSONL


class Output:
    """Writes rows to a stream as `shape` says.

    A row is a mapping with its full content; `columns` names what a table shows of it, and those
    that only `wide` shows start with "+".
    """

    def __init__(self, shape: Shape, stream: TextIO) -> None:
        self.shape = shape
        self._stream = stream

    def many(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Write all of `rows` at once."""
        match self.shape:
            case Shape.JSON:
                self._line(json.dumps(list(rows), indent=2))
            case Shape.JSONL | Shape.NAME:
                for row in rows:
                    self.row(row, columns)
            case Shape.TABLE | Shape.WIDE:
                self._table(rows, self._shown(columns))

    def row(self, row: Mapping[str, object], columns: Sequence[str]) -> None:
        """Write one row of a list that may have no end."""
        match self.shape:
            case Shape.JSON | Shape.JSONL:
                self._line(json.dumps(row))
            case Shape.NAME:
                self._line(str(row.get("id", row.get("client", ""))))
            case Shape.TABLE | Shape.WIDE:
                shown = self._shown(columns)
                self._line("  ".join(_cell(row.get(name)) for name in shown).rstrip())

    def one(self, fields: Mapping[str, object]) -> None:
        """Write one thing: name and value a line for people."""
        if self.shape in (Shape.TABLE, Shape.WIDE, Shape.NAME):
            width = max(map(len, fields), default=0)
            for name, value in fields.items():
                self._line(f"{name:<{width}}  {_cell(value, limit=None)}".rstrip())
        else:
            indent = 2 if self.shape is Shape.JSON else None
            self._line(json.dumps(fields, indent=indent))

    def _shown(self, columns: Sequence[str]) -> Sequence[str]:
        if self.shape is Shape.WIDE:
            return [name.removeprefix("+") for name in columns]
        return [name for name in columns if not name.startswith("+")]

    def _table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        limit = None if self.shape is Shape.WIDE else _MAX_CELL
        cells = [[name.replace("_", " ").upper() for name in columns]]
        cells += [[_cell(row.get(name), limit=limit) for name in columns] for row in rows]
        widths = [max(len(line[n]) for line in cells) for n in range(len(columns))]
        for line in cells:
            padded = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
            self._line("  ".join(padded).rstrip())

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _cell(value: object, *, limit: int | None = _MAX_CELL) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        text = ", ".join(f"{name}={item}" for name, item in value.items()) or "-"
    elif isinstance(value, float):
        text = f"{value:.3g}"
    else:
        text = str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"
