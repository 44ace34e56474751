"""The registry's rules for one process, as plain as can be: what a session's driver talks to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from discovery.errors import (
    AlreadyExistsError,
    DiscoveryError,
    LeaseExpiredError,
    StaleRequestError,
)

REFUSED = "refused"
"""Whatever is registered with this in its address is refused."""


@dataclass(frozen=True)
class Saved:
    """A registry as it was at some time."""

    token: str | None
    sequence: int
    records: dict[Any, Any]


class ModelRegistry:
    """Answers calls as `discovery.registry` does, of one instance id."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.since = 0
        self.sequence = 0
        self.records: dict[Any, Any] = {}
        self.revision = 1
        self.epochs = 1

    def save(self) -> Saved:
        return Saved(self.token, self.sequence, dict(self.records))

    def lose_what_came_after(self, saved: Saved) -> None:
        """Begin another epoch with what was saved; the lease lives on if it did then."""
        self.epochs += 1
        if saved.token != self.token:
            self.expire()
        else:
            self.sequence, self.records = saved.sequence, dict(saved.records)

    def expire(self) -> None:
        self.token, self.sequence = None, 0
        self.records.clear()

    def call(self, op: str, fields: dict[str, Any]) -> dict[str, Any] | DiscoveryError:
        if op == "grant":
            return self._grant(fields["token"])
        if fields["token"] != self.token:
            return LeaseExpiredError("ended")
        if op == "keep_alive":
            return self._granted()
        if op == "revoke":
            self.expire()
        elif fields["sequence"] <= self.sequence:
            return StaleRequestError("overtaken")
        elif op == "register":
            return self._register(fields)
        else:
            self._remove(fields, is_retention=op == "retain")
        return self._done()

    def _grant(self, token: str) -> dict[str, Any] | DiscoveryError:
        if self.token not in (None, token):
            return AlreadyExistsError("held by another process")
        if self.token is None:
            self.revision += 1
            self.token, self.since = token, self.revision
        return self._granted()

    def _granted(self) -> dict[str, Any]:
        lease = {"ttl_s": 9.0, "renew_s": 3.0, "draining": False, "since": self.since}
        return {**lease, "epoch": self._epoch()}

    def _done(self) -> dict[str, Any]:
        return {"revision": self.revision, "epoch": self._epoch()}

    def _epoch(self) -> str:
        return f"e{self.epochs}"

    def _register(self, fields: dict[str, Any]) -> dict[str, Any] | DiscoveryError:
        wanted = {spec.id(fields["instance_id"]): spec for spec in fields["specs"]}
        if any(REFUSED in spec.transport["tcp"] for spec in wanted.values()):
            return AlreadyExistsError("refused")
        if any(self.records.get(i) != spec for i, spec in wanted.items()):
            self.records |= wanted
            self.sequence = fields["sequence"]
            self.revision += 1
        return self._done()

    def _remove(self, fields: dict[str, Any], *, is_retention: bool) -> None:
        for identity in list(self.records):
            if (identity in fields["ids"]) != is_retention:
                del self.records[identity]
        self.sequence = fields["sequence"]
        self.revision += 1
