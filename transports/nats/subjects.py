"""Topics as NATS subjects: `a/b/` is `….a.b.%`. Sans-I/O.

Tokens are percent-encoded. An empty one, which NATS does not have, is a lone percent sign.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

_EMPTY: Final = "%"
_SAFE: Final = "!$&'()+,;=:@-_~^|"


@lru_cache(maxsize=4096)
def subject_of(base: str, topic: str) -> str:
    """Return the subject under `base` of a topic."""
    return ".".join((base, *map(token_of, topic.split("/"))))


@lru_cache(maxsize=4096)
def topic_of(base: str, subject: str) -> str | None:
    """Return the topic that a subject is of, None when it is none of `base`'s."""
    start = f"{base}."
    if not subject.startswith(start):
        return None
    tokens = subject.removeprefix(start).split(".")
    try:
        return "/".join("" if t == _EMPTY else unquote(t, errors="strict") for t in tokens)
    except UnicodeDecodeError:
        return None


def pattern_of(base: str, prefix: str) -> str:
    """Return what to subscribe to for topics with a prefix; others may match as well.

    Wildcards stand for whole tokens: what is after the last slash is not looked at.
    """
    head, slash, _ = prefix.rpartition("/")
    return f"{subject_of(base, head) if slash else base}.>"


def token_of(text: str) -> str:
    """Return one token for any text."""
    return quote(text, safe=_SAFE).replace(".", "%2E") or _EMPTY
