"""The `session/<id>` record: who owns a lease, and how far its requests have got. Sans-I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from discovery.errors import InternalError, InvalidArgumentError
from discovery.wire import decode_object, encode_object

_HASH = re.compile("[0-9a-f]{64}")
_LONGEST_S = 1e9  # no TTL is that long; also keeps out what is no float


def hash_token(token: str) -> str:
    """Return what is stored of a token: reading the store is not enough to act as its owner."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What the store knows of one process.

    `sequence` is the number of the last request that was carried out; each attempt of a client has
    a higher one, so a delayed copy of an old request is told apart. `ttl_s` is the lease's TTL in
    seconds. `is_draining`: an operator has taken the process out of service.
    """

    token_hash: str
    sequence: int
    ttl_s: float
    is_draining: bool = False

    def is_owned_with(self, token: str) -> bool:
        """Say whether `token` is the owner's."""
        return hmac.compare_digest(hash_token(token), self.token_hash)

    def encode(self) -> bytes:
        """Return the record as JSON."""
        value = {"token": self.token_hash, "sequence": self.sequence, "ttl_s": self.ttl_s}
        if self.is_draining:
            value["draining"] = True
        return encode_object(value)

    @classmethod
    def decode(cls, key: str, value: bytes) -> SessionRecord:
        """Read back what `encode` wrote. Raises `InternalError` for anything else."""
        try:
            found = decode_object(value)
        except InvalidArgumentError as error:
            raise InternalError(f"key {key!r}: not a session record, {error}") from error
        match found:
            case {
                "token": str(token),
                "sequence": int(number),
                "ttl_s": int() | float() as ttl,
            } if _HASH.fullmatch(token) and number >= 0 and 0 < ttl <= _LONGEST_S:
                return cls(token, number, float(ttl), found.get("draining") is True)
        raise InternalError(
            f"key {key!r}: not a session record, expected token (64 hex digits), sequence (0 or "
            "more) and ttl_s (seconds)"
        )


class EndedTokens:
    """The tokens of sessions that have ended; the oldest are forgotten.

    An owner that loses its lease takes a new token. Whoever comes with the old one is a delayed
    copy of a request from before. If it brings back the lease, as at a daemon that did not see the
    session end, nothing is registered under that until its owner, if it still lives, renews it.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._hashes: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, token: str) -> bool:
        return hash_token(token) in self._hashes

    def add(self, record: SessionRecord) -> None:
        """Take in the token of a session that has ended."""
        self._hashes.pop(record.token_hash, None)  # in again below: the oldest is always first
        self._hashes[record.token_hash] = None
        if len(self._hashes) > self._limit:
            del self._hashes[next(iter(self._hashes))]
