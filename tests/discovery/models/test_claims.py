"""Claims of downloads: every call and rule, in memory and in an etcd."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from discovery import FailedPreconditionError
from discovery.bookkeys import claim_key
from discovery.models import AlreadyExists, Claimed, ClaimStatus, object_name
from tests.support.bookplaces import THEN

HF, NGC, GCS, FILE = "HuggingFace", "Ngc", "Gcs", "File"
DOWNLOADING, DOWNLOADED, ERROR = ClaimStatus


async def told(stream, *statuses):
    """Wait for the next states of a claim, which are these."""
    async with asyncio.timeout(10):
        for status in statuses:
            record = await anext(stream)
            assert (record and record.status) == status
    return record


# ---- claiming


async def test_the_first_to_claim_downloads_and_the_next_is_told_how_far_that_is(place):
    async with place.connect() as d, place.connect() as other:
        assert await d.claims.try_claim("m", HF) == Claimed()
        made = await d.claims.record("m")
        assert (made.model_name, made.provider, made.status) == ("m", HF, DOWNLOADING)
        assert (made.owner, made.message) == (d.instance_id, "Starting download...")
        assert made.created_at == made.last_used_at
        assert await other.claims.try_claim("m", HF) == AlreadyExists(DOWNLOADING)
        assert await d.claims.try_claim("m", HF) == AlreadyExists(DOWNLOADING)  # the owner too
        assert await other.claims.record("m") == made


async def test_a_claim_that_exists_is_left_as_it_is(place):
    async with place.connect() as d:
        for status in (DOWNLOADED, ERROR):
            await d.claims.set_status("m", HF, status, "as it was")
            before = await d.claims.record("m")
            stored = await place.stored(claim_key(object_name(HF, "m")))
            assert await d.claims.try_claim("m", HF) == AlreadyExists(status)
            assert await d.claims.record("m") == before
            assert await place.stored(claim_key(object_name(HF, "m"))) == stored


async def test_of_all_who_claim_at_once_one_does(place):
    async with place.connected(4) as all_:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(d.claims.try_claim("m", HF)) for d in all_ * 5]
        results = [task.result() for task in tasks]
        assert results.count(Claimed()) == 1
        assert results.count(AlreadyExists(DOWNLOADING)) == 19
        winner = all_[results.index(Claimed()) % 4]
        assert (await winner.claims.record("m")).owner == winner.instance_id


async def test_one_name_of_two_providers_is_two_records(place):
    async with place.connect() as d, place.connect() as other:
        assert await d.claims.try_claim("m", GCS) == Claimed()
        assert await other.claims.try_claim("m", HF) == Claimed()
        await d.claims.set_status("m", GCS, DOWNLOADED)
        assert await other.claims.try_claim("m", HF) == AlreadyExists(DOWNLOADING)
        assert await other.claims.try_claim("m", GCS) == AlreadyExists(DOWNLOADED)
        assert await d.claims.counts() == (1, 1, 0)


async def test_names_that_look_alike_are_two_records(place):
    async with place.connect() as d:
        for one, other in (("Org/M", "org/m"), ("a/b", "a--b"), ("c-d", "c/d"), ("m", "m-")):
            assert await d.claims.try_claim(one, HF) == Claimed()
            assert await d.claims.try_claim(other, HF) == Claimed()
            await d.claims.set_status(one, HF, DOWNLOADED)
            assert await d.claims.status(other) == DOWNLOADING


# ---- retrying


async def test_only_what_failed_is_retried(place):
    async with place.connect() as d, place.connect() as other:
        assert not await d.claims.try_reset_error("m", HF)
        assert await d.claims.record("m") is None
        await d.claims.try_claim("m", HF)
        assert not await other.claims.try_reset_error("m", HF)
        await d.claims.set_status("m", HF, DOWNLOADED)
        assert not await other.claims.try_reset_error("m", HF)
        await place.put_claim(object_name(HF, "m"), status="ERROR", message="no space")
        assert await other.claims.try_reset_error("m", HF)
        record = await other.claims.record("m")
        assert (record.status, record.owner) == (DOWNLOADING, other.instance_id)
        assert record.message == "Retrying download..."
        assert (record.created_at, record.last_used_at > THEN) == (THEN, True)
        assert not await other.claims.try_reset_error("m", HF)
        assert not await d.claims.try_reset_error("m", GCS)


async def test_only_what_is_done_is_downloaded_again_when_it_is_missing(place):
    async with place.connect() as d, place.connect() as other:
        assert not await d.claims.try_reset_missing("m", HF)
        await d.claims.try_claim("m", HF)
        assert not await other.claims.try_reset_missing("m", HF)
        await d.claims.set_status("m", HF, ERROR)
        assert not await other.claims.try_reset_missing("m", HF)
        await d.claims.set_status("m", HF, DOWNLOADED)
        assert await other.claims.try_reset_missing("m", HF)
        record = await other.claims.record("m")
        assert (record.status, record.owner) == (DOWNLOADING, other.instance_id)
        assert not await d.claims.try_reset_missing("m", HF)
        assert not await d.claims.try_reset_missing("m", GCS)


async def test_of_all_who_find_it_missing_at_once_one_downloads(place):
    async with place.connected(4) as all_:
        await all_[0].claims.set_status("m", HF, DOWNLOADED)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(d.claims.try_reset_missing("m", HF)) for d in all_ * 5]
        assert sum(task.result() for task in tasks) == 1


async def test_of_all_who_retry_at_once_one_does(place):
    async with place.connected(4) as all_:
        await all_[0].claims.set_status("m", HF, ERROR)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(d.claims.try_reset_error("m", HF)) for d in all_ * 5]
        results = [task.result() for task in tasks]
        assert sum(results) == 1
        winner = all_[results.index(True) % 4]
        assert (await winner.claims.record("m")).owner == winner.instance_id


# ---- owners


async def test_the_claim_of_one_who_left_is_an_error_that_one_other_takes_over(place):
    async with place.connect() as d, place.connect() as other:
        async with place.connect() as owner:
            assert await owner.claims.try_claim("m", HF) == Claimed()
        lost = await d.claims.record("m")
        assert (lost.status, lost.message, lost.owner) == (ERROR, "owner lost", None)
        assert await d.claims.counts() == (0, 0, 1)
        assert await d.claims.try_claim("m", HF) == AlreadyExists(ERROR)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(one.claims.try_reset_error("m", HF)) for one in (d, other) * 5
            ]
        assert sum(task.result() for task in tasks) == 1


async def test_a_waiter_is_told_at_once_that_the_lease_of_the_owner_was_revoked(place):
    async with place.connect() as d, place.connect() as owner:
        await owner.claims.try_claim("m", HF)
        async with d.claims.wait("m", HF) as stream:
            await told(stream, DOWNLOADING)
            await place.end_lease(owner.instance_id)
            assert (await told(stream, ERROR)).message == "owner lost"
        assert await d.claims.try_reset_error("m", HF)
        with pytest.raises(FailedPreconditionError):
            await owner.claims.set_status("m", HF, DOWNLOADED)  # it is not the owner any more


async def test_nobody_else_sets_a_status_while_the_owner_lives(place):
    async with place.connect() as d, place.connect() as owner:
        await owner.claims.try_claim("m", HF)
        before = await d.claims.record("m")
        for status in ClaimStatus:
            with pytest.raises(FailedPreconditionError, match=f"{owner.instance_id:x}.*lives"):
                await d.claims.set_status("m", HF, status)
        assert await d.claims.record("m") == before
        await d.claims.set_status("m", GCS, DOWNLOADED)  # that is another record
        await owner.claims.set_status("m", HF, DOWNLOADED, "done")
        await d.claims.set_status("m", HF, ERROR)  # nobody downloads any more
        assert await owner.claims.status("m") == ERROR


async def test_who_says_that_it_downloads_is_the_owner(place):
    async with place.connect() as d, place.connect() as owner:
        await owner.claims.set_status("m", HF, "DOWNLOADING", "half of it")
        record = await d.claims.record("m")
        assert (record.owner, record.message) == (owner.instance_id, "half of it")
        with pytest.raises(FailedPreconditionError):
            await d.claims.set_status("m", HF, ERROR)
        await owner.claims.set_status("m", HF, DOWNLOADING, "all of it")
        assert (await d.claims.record("m")).message == "all of it"


async def test_a_process_that_is_drained_ends_what_it_downloads_and_claims_no_more(place):
    async with place.connect() as d, place.connect() as owner:
        await owner.claims.try_claim("m", HF)
        await d.claims.set_status("failed", HF, ERROR)
        await d.drain(owner.instance_id)
        assert (await d.claims.record("m")).owner == owner.instance_id
        with pytest.raises(FailedPreconditionError, match="draining"):
            await owner.claims.try_claim("n", HF)
        with pytest.raises(FailedPreconditionError, match="draining"):
            await owner.claims.try_reset_error("failed", HF)
        await owner.claims.set_status("m", HF, DOWNLOADED)
        assert await d.claims.counts() == (0, 1, 1)


async def test_of_many_races_of_an_owner_who_leaves_each_has_one_heir(place):
    async with place.connected(3) as all_:
        for number in range(5):
            name = f"m{number}"
            async with place.connect() as owner:
                await owner.claims.try_claim(name, HF)
                async with asyncio.TaskGroup() as group:
                    heirs = [group.create_task(_inherited(d, name)) for d in all_]
                    group.create_task(owner.revoke())
            assert sorted(heir.result() for heir in heirs) == [False, False, True]


async def _inherited(d, name):
    """Wait for the end of a download, and say whether this process is the one to go on with it."""
    async with asyncio.timeout(10), d.claims.wait(name, HF) as stream:
        async for record in stream:
            if record is not None and record.status == ERROR:
                return await d.claims.try_reset_error(name, HF)
            if record is not None and record.message == "Retrying download...":
                return False  # another one was faster
    return False


# ---- cancelled


async def test_who_is_cancelled_while_claiming_leaves_no_claim_behind(place):
    async with place.connect() as d, place.connect() as other:
        for number in range(24):
            name = f"m{number}"
            claiming = asyncio.get_running_loop().create_task(d.claims.try_claim(name, HF))
            await asyncio.sleep(number * 0.0004)
            claiming.cancel()
            with suppress(asyncio.CancelledError):
                assert await claiming == Claimed()
                continue  # it was done before it was cancelled
            await _claimed_by(other, name)


async def test_who_is_cancelled_before_it_hears_of_its_claim_leaves_none_behind(place):
    async with place.connect() as d, place.connect() as other:
        for op, call in (("try_claim", d.claims.try_claim), ("reset_claim", _retry(d))):
            await other.claims.delete("m")
            if op == "reset_claim":
                await other.claims.set_status("m", HF, ERROR)
            await place.run(lambda core, op=op: _answer_never(core, op))
            task = asyncio.get_running_loop().create_task(call("m", HF))
            async with other.claims.wait("m", HF) as stream:
                while (record := await anext(stream)) is None or record.status != DOWNLOADING:
                    pass
                assert record.owner == d.instance_id
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await told(stream, None if op == "try_claim" else ERROR)


def _retry(d):
    return d.claims.try_reset_error


async def _answer_never(core, op):
    """Let the next request be carried out, and its answer be lost."""
    calls = core.service._calls
    real = calls[op]

    async def lose(fields):
        calls[op] = real
        await real(fields)
        await asyncio.get_running_loop().create_future()

    calls[op] = lose


async def _claimed_by(d, name):
    async with asyncio.timeout(10), d.claims.wait(name, HF) as stream:
        async for record in stream:
            if record is None and await d.claims.try_claim(name, HF) == Claimed():
                return
