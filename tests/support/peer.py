"""Processes of the peer system, beside the etcd that they and we share."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.processes import program, script

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.support.etcd import Etcd
    from tests.support.processes import Program

_ENVIRONMENT = {
    "DYN_LOG": "error",
    # Where it listens: for requests, for their answers, for operators. The sockets of publishers of
    # events bind 0.0.0.0 whatever it is told; of these only the address that is announced is told.
    "DYN_TCP_RPC_HOST": "127.0.0.1",
    "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1",
    "DYN_SYSTEM_HOST": "127.0.0.1",
    "DYN_EVENT_PLANE_HOST": "127.0.0.1",
    "DYN_EVENT_PLANE": "zmq",
}


@asynccontextmanager
async def peer(
    etcd: Etcd, *, ttl_s: int = 30, **environment: str
) -> AsyncGenerator[tuple[Program, int]]:
    """Run a process of the peer's while the block runs; gives it and its instance id."""
    env = {"ETCD_ENDPOINTS": f"http://{etcd.endpoint}", "ETCD_LEASE_TTL": str(ttl_s)}
    async with program(*script("peer"), env=_ENVIRONMENT | env | environment) as running:
        ready = await running.hear()
        yield running, ready["ready"]
