"""Claims by the name of their model, all of them in order, and waiting for one."""

from __future__ import annotations

import asyncio

import pytest

from discovery import InvalidArgumentError
from discovery.models import Claimed, object_name
from tests.discovery.models.test_claims import (
    DOWNLOADED,
    DOWNLOADING,
    ERROR,
    FILE,
    GCS,
    HF,
    NGC,
    told,
)
from tests.support.bookplaces import THEN


async def test_a_name_stands_for_the_record_of_the_first_provider_that_has_one(place):
    async with place.connect() as d:
        assert await d.claims.record("m") is None
        assert await d.claims.status("m") is None
        for provider, status in ((FILE, ERROR), (GCS, DOWNLOADED), (NGC, ERROR), (HF, DOWNLOADED)):
            await d.claims.set_status("m", provider, status)
            assert (await d.claims.record("m")).provider == provider
            assert await d.claims.status("m") == status
        assert await d.claims.status("M") is None


async def test_a_status_is_written_with_its_stamps_and_a_message_of_none_clears_it(place):
    async with place.connect() as d:
        await d.claims.set_status("m", NGC, DOWNLOADED, "done")
        made = await d.claims.record("m")
        assert (made.status, made.message, made.owner) == (DOWNLOADED, "done", None)
        assert made.created_at == made.last_used_at > THEN
        await place.put_claim(object_name(NGC, "m"), provider=NGC, message="old")
        await d.claims.set_status("m", NGC, ERROR)
        record = await d.claims.record("m")
        assert (record.status, record.message) == (ERROR, None)
        assert (record.created_at, record.last_used_at > THEN) == (THEN, True)
        await place.put_claim(object_name(NGC, "m"), provider=NGC, without=["created_at"])
        await d.claims.set_status("m", NGC, DOWNLOADED)
        assert (await d.claims.record("m")).created_at > THEN


async def test_touching_says_only_that_a_model_is_used_now(place):
    async with place.connect() as d, place.connect() as owner:
        await place.put_claim(object_name(GCS, "m"), provider=GCS, message="done")
        before = await d.claims.record("m")
        await d.claims.touch("m")
        after = await d.claims.record("m")
        assert after.last_used_at > THEN == before.last_used_at
        assert (after.created_at, after.status, after.message) == (THEN, DOWNLOADED, "done")
        await owner.claims.try_claim("n", HF)
        await d.claims.touch("n")
        assert (await d.claims.record("n")).owner == owner.instance_id
        await d.claims.touch("unknown")
        assert await d.claims.record("unknown") is None
        assert sum(await d.claims.counts()) == 2


async def test_deleting_removes_the_records_of_every_provider_and_of_no_other_name(place):
    async with place.connect() as d, place.connect() as owner:
        for provider in (HF, NGC, GCS, FILE):
            await owner.claims.try_claim("m", provider)
        await owner.claims.try_claim("m2", HF)
        await d.claims.delete("m")
        assert await d.claims.record("m") is None
        assert await d.claims.counts() == (1, 0, 0)
        await d.claims.delete("m")
        await d.claims.delete("unknown")
        assert await d.claims.try_claim("m", HF) == Claimed()


async def test_a_name_with_a_provider_in_front_is_another_name(place):
    async with place.connect() as d, place.connect() as other:
        await d.claims.try_claim("m", HF)
        made = await d.claims.record("m")
        assert await other.claims.record("HuggingFace/m") is None
        await other.claims.touch("HuggingFace/m")
        await other.claims.delete("HuggingFace/m")
        assert await other.claims.try_claim("HuggingFace/m", HF) == Claimed()
        assert await d.claims.record("m") == made


async def test_what_was_not_used_for_longest_comes_first(place):
    async with place.connect() as d:
        used = {
            "c": "2026-01-01T00:00:03Z",
            "a": "2026-01-01T00:00:01.5Z",
            "b": "2026-01-01T02:00:02+02:00",
        }
        for name, last_used_at in used.items():
            await place.put_claim(object_name(HF, name), model_name=name, last_used_at=last_used_at)
        await d.claims.set_status("new", GCS, ERROR)
        in_order = await d.claims.by_last_used()
        assert [claim.model_name for claim in in_order] == ["a", "b", "c", "new"]
        assert await d.claims.by_last_used(2) == in_order[:2]
        assert await d.claims.by_last_used(9) == in_order
        assert await d.claims.by_last_used(0) == []
        await d.claims.touch("a")
        names = [claim.model_name for claim in await d.claims.by_last_used()]
        assert names == ["b", "c", "new", "a"]


async def test_claims_are_counted_by_their_status(place):
    async with place.connect() as d:
        assert await d.claims.counts() == (0, 0, 0)
        for number, status in enumerate([DOWNLOADING] * 3 + [DOWNLOADED] * 2 + [ERROR]):
            await d.claims.set_status(f"m{number}", HF, status)
        counts = await d.claims.counts()
        assert (counts.downloading, counts.downloaded, counts.error) == (3, 2, 1)


async def test_a_waiter_is_told_how_it_is_and_of_each_change(place):
    async with place.connect() as d, place.connect() as owner, d.claims.wait("m", HF) as stream:
        await told(stream, None)
        await owner.claims.try_claim("m", HF)
        assert (await told(stream, DOWNLOADING)).owner == owner.instance_id
        await owner.claims.try_claim("m", GCS)  # another record: no word of it
        await owner.claims.set_status("m", HF, DOWNLOADING, "half of it")
        assert (await told(stream, DOWNLOADING)).message == "half of it"
        await owner.claims.set_status("m", HF, ERROR, "no space")
        assert (await told(stream, ERROR)).message == "no space"
        await owner.claims.try_reset_error("m", HF)
        await told(stream, DOWNLOADING)
        await owner.claims.set_status("m", HF, DOWNLOADED)
        assert (await told(stream, DOWNLOADED)).owner is None
        await owner.claims.delete("m")
        await told(stream, None)


async def test_a_waiter_need_not_enter_the_stream(place):
    async with place.connect() as d:
        await d.claims.set_status("m", HF, DOWNLOADED)
        async with asyncio.timeout(10):
            async for record in d.claims.wait("m", HF):
                assert record == await d.claims.record("m")
                break


async def test_what_is_no_name_provider_status_or_message_is_refused(place):
    async with place.connect() as d:
        for provider in ("huggingface", "S3", "", None):
            for call in (d.claims.try_claim, d.claims.try_reset_error):
                with pytest.raises(InvalidArgumentError, match="provider"):
                    await call("m", provider)
            with pytest.raises(InvalidArgumentError, match="provider"):
                d.claims.wait("m", provider)
        for name in ("", "a\0b", "\ud800", 7, "x" * 1025):
            for call in (d.claims.record, d.claims.status, d.claims.touch, d.claims.delete):
                with pytest.raises(InvalidArgumentError, match="model name"):
                    await call(name)
        for status in ("downloading", "", None):
            with pytest.raises(InvalidArgumentError, match="status"):
                await d.claims.set_status("m", HF, status)
        for message in ("x" * 4097, "\ud800", 7):
            with pytest.raises(InvalidArgumentError, match="message"):
                await d.claims.set_status("m", HF, ERROR, message)
        for limit in (-1, True, 1.0):
            with pytest.raises(InvalidArgumentError, match="limit"):
                await d.claims.by_last_used(limit)
        assert await d.claims.counts() == (0, 0, 0)
