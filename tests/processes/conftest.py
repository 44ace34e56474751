"""The ways between processes that fault stories are told over."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Way:
    """How daemons are reached: each at its own port, or all of them through NATS as well."""

    flags: tuple[str, ...] = ()
    nats: str | None = None

    def url(self, *ports: int) -> str:
        """Return what to connect to for the daemons at some ports."""
        return self.nats or "zmq://" + ",".join(f"127.0.0.1:{port}" for port in ports)


@pytest.fixture(params=["zmq", "nats"])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "zmq":
        return Way()
    url = request.getfixturevalue("nats").own_url()
    return Way(("--listen", url), url)
