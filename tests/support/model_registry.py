"""The registry's rules for one process, as plain as can be: what a session's driver talks to."""

from __future__ import annotations

from typing import Any

from discovery.errors import (
    AlreadyExistsError,
    DiscoveryError,
    LeaseExpiredError,
    StaleRequestError,
)

REFUSED = "refused"
"""Whatever is registered with this in its address is refused."""


class ModelRegistry:
    """Answers calls as `discovery.registry` does, of one instance id."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.sequence = 0
        self.records: dict[Any, Any] = {}
        self.revision = 1

    def expire(self) -> None:
        self.token, self.sequence = None, 0
        self.records.clear()

    def call(self, op: str, fields: dict[str, Any]) -> dict[str, Any] | DiscoveryError:
        if op == "grant":
            return self._grant(fields["token"])
        if fields["token"] != self.token:
            return LeaseExpiredError("ended")
        if op == "revoke":
            self.expire()
            return {"revision": self.revision}
        if op == "keep_alive":
            return {"ttl_s": 9.0, "renew_s": 3.0}
        if fields["sequence"] <= self.sequence:
            return StaleRequestError("overtaken")
        return self._register(fields) if op == "register" else self._unregister(fields)

    def _grant(self, token: str) -> dict[str, Any] | DiscoveryError:
        if self.token not in (None, token):
            return AlreadyExistsError("held by another process")
        self.token = token
        return {"ttl_s": 9.0, "renew_s": 3.0}

    def _register(self, fields: dict[str, Any]) -> dict[str, Any] | DiscoveryError:
        wanted = {spec.id(fields["instance_id"]): spec for spec in fields["specs"]}
        if any(REFUSED in spec.transport["tcp"] for spec in wanted.values()):
            return AlreadyExistsError("refused")
        if any(self.records.get(i) != spec for i, spec in wanted.items()):
            self.records |= wanted
            self.sequence = fields["sequence"]
            self.revision += 1
        return {"revision": self.revision}

    def _unregister(self, fields: dict[str, Any]) -> dict[str, Any]:
        for identity in fields["ids"]:
            self.records.pop(identity, None)
        self.sequence = fields["sequence"]
        self.revision += 1
        return {"revision": self.revision}
