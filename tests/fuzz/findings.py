"""Inputs that broke a contract, kept as files: `found/<target>/<hash>`."""

from __future__ import annotations

import hashlib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.contract import play

if TYPE_CHECKING:
    from tests.fuzz.contract import Target

FOUND = Path(__file__).parent / "found"
_OURS = ("/discovery/", "/transports/", "/tests/fuzz/")


def failure(target: Target, data: bytes) -> Exception | None:
    """Return what an input breaks."""
    try:
        play(target, data)
    except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
        return error
    return None


def signature(error: BaseException) -> str:
    """Return what two inputs have in common that find the same fault."""
    found = []
    while error is not None:  # what it was raised for is the fault, when its text is
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if any(part in f.filename for part in _OURS)]
        places = [f"{Path(f.filename).name}:{f.name}" for f in ours if "contract" not in f.filename]
        found.append(" ".join([type(error).__name__, *places[-2:]]))
        error = error.__context__
    return " of ".join(found[:2])


def kept(target: Target, folder: Path = FOUND) -> list[Path]:
    return sorted((folder / target.name).glob("*"))


def keep(target: Target, data: bytes, folder: Path = FOUND) -> Path:
    file = folder / target.name / hashlib.sha256(data).hexdigest()[:16]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file
