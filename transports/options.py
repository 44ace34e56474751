"""Options after a URL's question mark, and the files that some of them name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_FLAGS = {"1": True, "0": False}


def parse_options(
    query: str, known: Collection[str], may_be_empty: Collection[str] = ()
) -> Mapping[str, str]:
    """Read "name=value&…". Raises `ValueError`, which says what is wrong and repeats no value."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:  # its text repeats what is wrong
        raise ValueError("an option is not name=value") from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ValueError("an option is given twice")
    for name, text in options.items():
        if name not in known:
            raise ValueError(f"option {name!r:.100} is unknown")
        if not text and name not in may_be_empty:
            raise ValueError(f"option {name} is empty")
    return options


def files_of(options: Mapping[str, str], names: Collection[str]) -> dict[str, Path]:
    """Return those of the options that name files."""
    return {name: Path(options[name]) for name in names if name in options}


def check_pair(options: Mapping[str, str], one: str, other: str) -> None:
    """Raise `ValueError` if one of two options that go together is given alone."""
    if (one in options) != (other in options):
        raise ValueError(f"{one} and {other} go together")


def is_tls(options: Mapping[str, str]) -> bool:
    """Say whether to encrypt: if `tls` says so, or if it says nothing and ca or cert is given.

    Raises `ValueError`.
    """
    has_files = bool(options.keys() & {"ca", "cert"})
    text = options.get("tls")
    if text is None:
        return has_files
    if text not in _FLAGS:
        raise ValueError(f"tls is {text!r:.100}, which is neither 0 nor 1")
    if has_files and not _FLAGS[text]:
        raise ValueError("ca and cert are for tls=1")
    return _FLAGS[text]
