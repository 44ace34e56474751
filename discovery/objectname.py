"""What a claim's object is called: a name that Kubernetes takes, for any provider and model.

Sans-I/O. Source of the mapping: spec/models.md §2.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_PREFIX: Final = "mx-cache-"
_LONGEST: Final = 253  # of a name in Kubernetes
_HASH_DIGITS: Final = 12
_OTHER: Final = re.compile("[^a-z0-9.-]")


def object_name(provider: str, model: str) -> str:
    """Return the name of the object of one model of one provider.

    No two pairs share one, and it is the same everywhere: a readable part, cut where it is long,
    and a hash of what it was made of.
    """
    return _PREFIX + sanitised(f"{provider}/{model}", _LONGEST - len(_PREFIX))


def name_only_object_name(model: str) -> str:
    """Return the name that older deployments gave it, without the provider."""
    return _PREFIX + sanitised(model, _LONGEST - len(_PREFIX))


def sanitised(text: str, longest: int) -> str:
    """Return a readable part and a hash of `text`, of at most `longest` characters."""
    hashed = hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
    lower = "".join(c.lower() if c.isascii() else "-" for c in text.replace("/", "--"))
    readable = _OTHER.sub("-", lower).strip("-.")[: longest - _HASH_DIGITS - 1]
    return f"{readable}-{hashed}" if readable else hashed
