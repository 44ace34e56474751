"""Claims between real processes: fifty that race, and owners that are killed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import discovery
from discovery import ClaimStatus
from tests.support.processes import daemon, free_ports, program, script

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from discovery import ClaimRecord
    from discovery.models import ClaimStream

RACERS = 50
TTL_S = 2.0
PLACES = pytest.mark.parametrize("place", ["memory", "etcd"])


@asynccontextmanager
async def daemons(place: str, request: pytest.FixtureRequest) -> AsyncGenerator[list[str]]:
    """One daemon in memory, or three on one etcd."""
    flags = ("--lease-recovery-s", "0")  # what ends just after a start is not held back
    if place == "etcd":
        flags += ("--store", request.getfixturevalue("etcd").own_url())
    async with AsyncExitStack() as stack:
        ports = [free_ports() for _ in range(3 if place == "etcd" else 1)]
        for port in ports:
            await stack.enter_async_context(daemon(port, *flags))
        yield [f"zmq://127.0.0.1:{port}" for port in ports]


@PLACES
async def test_of_fifty_processes_one_claims_and_of_fifty_one_takes_over(place, request):
    async with daemons(place, request) as urls, program(*script("claimers", RACERS, *urls)) as all_:
        all_.tell("try_claim", "m")
        answers = Counter((await all_.hear())["answers"])
        exists = "AlreadyExists(status=<ClaimStatus.DOWNLOADING: 'DOWNLOADING'>)"
        assert answers == {"Claimed()": 1, exists: RACERS - 1}
        async with discovery.connect(urls[0]) as d, d.claims.wait("m", "File") as claim:
            await until_error(claim)  # the winner has gone, and its lease with it
        all_.tell("try_reset_error", "m")
        answers = Counter((await all_.hear())["answers"])
        assert answers == {"True": 1, "False": RACERS - 1}


@PLACES
async def test_who_waits_owns_the_claim_of_an_owner_that_was_killed(place, request):
    async with daemons(place, request) as urls:
        url = "zmq://" + ",".join(one.removeprefix("zmq://") for one in urls)
        async with (
            discovery.connect(url) as d,
            d.claims.wait("m", "File") as claim,
            program(*script("claimer", url, TTL_S, "m")) as owner,
        ):
            said = await owner.hear()
            assert said["answer"] == "Claimed()"
            async for record in claim:
                if record is not None:
                    break
            assert (record.status, record.owner) == (ClaimStatus.DOWNLOADING, said["owner"])
            owner.process.kill()
            killed_at = time.monotonic()
            record = await until_error(claim)
            assert record.message == "owner lost"
            assert await d.claims.try_reset_error("m", "File")
            assert time.monotonic() - killed_at < TTL_S + 1.0
            record = await anext(claim)
            assert (record.status, record.owner) == (ClaimStatus.DOWNLOADING, d.instance_id)


async def until_error(claim: ClaimStream) -> ClaimRecord:
    async with asyncio.timeout(30):
        async for record in claim:
            if record is not None and record.status is ClaimStatus.ERROR:
                return record
    raise AssertionError
