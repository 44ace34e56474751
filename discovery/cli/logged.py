"""What the client library logs, said like everything else."""

from __future__ import annotations

import logging
import sys

from discovery.cli.notes import PROGRAM, printable, printable_lines


class NoteFormatter(logging.Formatter):
    """One line under the program's name, without control characters; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = f"{PROGRAM}: {printable(record.getMessage())}"
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return f"{text}\n{printable_lines(trace)}" if trace else text


def log_to_stderr() -> None:
    """Say what is logged from warnings on. Calling it twice changes nothing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(NoteFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
