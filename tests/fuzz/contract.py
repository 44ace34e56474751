"""What every reader of untrusted input keeps to, and a target of the fuzzer that holds it to that.

A reader returns a value or raises an error of its package's own tree, in time that the size of
the input bounds. The error's text is short and printable, since it goes to logs and terminals.
What was read is written again, where there is a writer, and then reads as the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from transports.codec import JSON, MSGPACK
from transports.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

LONGEST_TEXT = 2048
SLOWEST_S = 2.0
"""Of CPU time for one input, with a tracer watching and others on the machine."""

SEPARATOR = b"\n--\n"
"""Between the parts of an input that is several texts."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One way in.

    `run` takes an input and fails if the contract is broken; `covers` are the readers that it
    calls; `seeds` are valid inputs to begin with; `weight` is its share of the time.
    """

    run: Callable[[bytes], object]
    covers: Sequence[Callable[..., Any]]
    seeds: Sequence[bytes]
    weight: int = 1

    @property
    def name(self) -> str:
        return self.run.__name__


def play(target: Target, data: bytes) -> None:
    """Give an input to a target; fails if it takes too long, too."""
    started = time.process_time()
    target.run(data)
    took_s = time.process_time() - started
    assert took_s < SLOWEST_S, f"{target.name}: {len(data)} bytes take {took_s:.1f} s"


def attempt(read: Callable[[], T], *kinds: type[Exception]) -> T | None:
    """Return what is read; None if it is refused as it may be."""
    try:
        return read()
    except kinds as error:
        check_text(error)
        return None


def check_text(error: Exception) -> None:
    text = str(error)
    assert text, f"{type(error).__name__} says nothing"
    assert len(text) <= LONGEST_TEXT, f"{type(error).__name__} of {len(text)} characters"
    assert text.isprintable(), f"{type(error).__name__} is not printable: {text!r}"


def same(one: object, other: object) -> bool:
    """Equal, in type too: 1, 1.0 and True are not the same."""
    return repr(one) == repr(other)


def text_of(data: bytes) -> str:
    """Return any bytes as text; those that are not UTF-8 become lone surrogates."""
    return data.decode(errors="surrogateescape")


def texts_of(data: bytes) -> list[str]:
    return [text_of(part) for part in data.split(SEPARATOR)]


def value_of(data: bytes) -> Any:
    """Return what a message says, in either codec; None if it is in neither."""
    for codec in (JSON, MSGPACK):
        try:
            return codec.decode(data)
        except CodecError:
            continue
    return None
