"""The few inputs of a corpus that reach what no shorter one does, kept in `corpus.json`."""

from __future__ import annotations

import json
import logging
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.findings import failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.fuzz.contract import Target

CORPUS = Path(__file__).with_name("corpus.json")
_LARGEST_BYTES = 1024
_MOST = 40
_PACKAGES = tuple(str(Path(__file__).parents[2] / name) for name in ("discovery", "transports"))


def read_corpus() -> Mapping[str, Sequence[bytes]]:
    kept = json.loads(CORPUS.read_text())
    return {name: [b64decode(data) for data in inputs] for name, inputs in kept.items()}


def distil(targets: Iterable[Target], corpus: Path) -> None:
    """Choose from a corpus anew; targets that are not named keep what they have."""
    logging.disable()
    kept = json.loads(CORPUS.read_text()) if CORPUS.exists() else {}
    for target in targets:
        found = [file.read_bytes() for file in (corpus / target.name).glob("*")]
        kept[target.name] = [b64encode(data).decode() for data in _best(target, found)]
    CORPUS.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


def _best(target: Target, found: Sequence[bytes]) -> list[bytes]:
    reached: set[tuple[str, int]] = set()
    best = []
    for data in sorted(found, key=lambda data: (len(data), data)):
        new = _lines(target, data) - reached if len(data) <= _LARGEST_BYTES else None
        if new and len(best) < _MOST:
            best.append(data)
            reached |= new
    return best


def _lines(target: Target, data: bytes) -> set[tuple[str, int]]:
    """Return the lines of the packages that an input runs."""
    lines = set()

    def watch(frame: Any, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGES):
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        failure(target, data)
    finally:
        sys.settrace(before)
    return lines
