"""Set up logging: text for a person at a terminal, one JSON object per line for a collector."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from discovery.settings import LogSettings

_OUR_PACKAGES = ("discovery", "transports")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""Attributes that every record has; the others came in by `extra`."""


def configure(settings: LogSettings, stream: TextIO) -> None:
    """Send all logging of the process to `stream`; a second call replaces the first.

    Our own loggers log from the level asked for, those of libraries from warning on. Warnings of
    Python are logged too.
    """
    is_text = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in _OUR_PACKAGES:
        logging.getLogger(package).setLevel(settings.level.upper())
    logging.captureWarnings(capture=True)


class _Formatter(logging.Formatter):
    """What both forms share."""

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6]

    @staticmethod
    def _extra(record: logging.LogRecord) -> dict[str, object]:
        return {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}

    def _trace(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        parts += [self.formatStack(record.stack_info)] if record.stack_info else []
        return "\n".join(parts)


class TextFormatter(_Formatter):
    """One line of time, severity, logger, message and `key=value`; a traceback on further lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; values that would break it are quoted."""
        words = [
            f"{self._time(record).replace('T', ' ')} {record.levelname:<7} {record.name}:",
            record.getMessage(),
            *(f"{key}={_one_word(value)}" for key, value in self._extra(record).items()),
        ]
        trace = self._trace(record)
        return " ".join(words) + (f"\n{trace}" if trace else "")


class JsonFormatter(_Formatter):
    """One JSON object: time, level, logger, message, what came in by `extra`, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; a key of `extra` that is taken already gets a `_` at its end."""
        line: dict[str, object] = {
            "time": f"{self._time(record)}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = self._trace(record)
        if trace:
            line["exception"] = trace
        extra = {f"{key}_" if key in line else key: v for key, v in self._extra(record).items()}
        try:
            return json.dumps(line | extra, allow_nan=False, default=str)
        except (ValueError, TypeError, RecursionError):  # NaN, a cycle, keys that are not texts
            return json.dumps(line | {key: str(value) for key, value in extra.items()})


def _one_word(value: object) -> str:
    text = str(value)
    is_plain = text.isprintable() and text != "" and not any(mark in text for mark in ' "=')
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())
