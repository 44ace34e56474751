"""Claims that others wrote: half of one, an odd one, one that cannot be read, an old one."""

from __future__ import annotations

import logging

import pytest

from discovery import FailedPreconditionError, InvalidArgumentError, RecordError
from discovery.bookkeys import claim_key, claim_owner_key
from discovery.jobqueue import Deed
from discovery.models import AlreadyExists, Claimed, ClaimStatus, object_name
from discovery.objectname import name_only_object_name
from tests.discovery.models.test_claims import told
from tests.support.bookplaces import THEN

HF, GCS = "HuggingFace", "Gcs"
DOWNLOADING, DOWNLOADED, ERROR = ClaimStatus
SCOPED, OLD = object_name(HF, "m"), name_only_object_name("m")

MALFORMED = [
    {"provider": "S3"},
    {"without": ["provider"]},
    {"model_name": ""},
    {"last_used_at": "yesterday"},
    {"created_at": "2026-01-02T03:04:05"},  # in which zone?
    {"created_at": 1_700_000_000},
    {"message": 7},
]


async def test_a_half_written_record_reads_as_downloading(place):
    async with place.connect() as d:
        for half in ({"status": ""}, {"status": None}, {"without": ["status"]}):
            await place.put_claim(SCOPED, **half)
            record = await d.claims.record("m")
            assert (record.status, record.owner, record.message) == (DOWNLOADING, None, None)
            assert await d.claims.counts() == (1, 0, 0)
            assert await d.claims.try_claim("m", HF) == AlreadyExists(DOWNLOADING)
            assert not await d.claims.try_reset_error("m", HF)
            async with d.claims.wait("m", HF) as stream:
                await told(stream, DOWNLOADING)
            await d.claims.set_status("m", HF, DOWNLOADED)
            assert await d.claims.status("m") == DOWNLOADED


async def test_an_unknown_phase_reads_as_an_error_with_a_warning(place, caplog):
    async with place.connect() as d:
        for phase in ("PAUSED", "downloaded", 7):
            await place.put_claim(SCOPED, status=phase)
            caplog.clear()
            assert await d.claims.status("m") == ERROR
            (warning,) = [r for r in caplog.records if "unknown status" in r.message]
            assert warning.levelno == logging.WARNING
            assert warning.claim == claim_key(SCOPED)
            assert [claim.status for claim in await d.claims.by_last_used()] == [ERROR]
            assert await d.claims.counts() == (0, 0, 1)
            assert await d.claims.try_claim("m", HF) == AlreadyExists(ERROR)
            assert await d.claims.try_reset_error("m", HF)
            await d.claims.delete("m")


async def test_a_download_without_an_owner_is_one_whose_owner_was_lost(place):
    async with place.connect() as d:
        await place.put_claim(SCOPED, status="DOWNLOADING", message="half of it", owner=7)
        record = await d.claims.record("m")
        assert (record.status, record.message, record.owner) == (ERROR, "owner lost", None)
        await d.claims.set_status("m", HF, DOWNLOADED)  # nobody lives who could mind
        assert await d.claims.status("m") == DOWNLOADED


async def test_missing_stamps_read_as_now(place):
    async with place.connect() as d:
        await place.put_claim("used", model_name="used", provider=GCS)
        await place.put_claim(SCOPED, without=["created_at", "last_used_at"])
        record = await d.claims.record("m")
        assert min(record.created_at, record.last_used_at) > THEN
        assert [claim.model_name for claim in await d.claims.by_last_used()] == ["used", "m"]


async def test_stamps_of_other_zones_and_fractions_read_as_utc(place):
    async with place.connect() as d:
        stamps = {"created_at": "2026-01-02T04:04:05+01:00", "last_used_at": "2026-01-02T03:04:06Z"}
        await place.put_claim(SCOPED, **stamps)
        record = await d.claims.record("m")
        assert (record.created_at, record.last_used_at) == (THEN, "2026-01-02T03:04:06.000Z")


async def test_a_record_that_cannot_be_read_is_an_error_for_it_alone(place, caplog):
    async with place.connect() as d:
        for fields in MALFORMED:
            await place.put_claim(SCOPED, **fields)
            await d.claims.set_status("m", GCS, DOWNLOADED)
            for call in (d.claims.record, d.claims.status, d.claims.touch):
                with pytest.raises(RecordError, match=SCOPED):
                    await call("m")
            for call in (d.claims.try_claim, d.claims.try_reset_error):
                with pytest.raises(RecordError, match=SCOPED):
                    await call("m", HF)
            async with d.claims.wait("m", HF) as stream:
                with pytest.raises(RecordError, match=SCOPED):
                    await anext(stream)
            assert [claim.provider for claim in await d.claims.by_last_used()] == [GCS]
            assert await d.claims.counts() == (0, 2, 0)  # by its phase
            await d.claims.delete("m")
            assert await d.claims.counts() == (0, 0, 0)
        warnings = [r for r in caplog.records if r.message == "malformed claim skipped"]
        assert [SCOPED in r.why for r in warnings] == [True] * len(MALFORMED)


async def test_a_record_that_cannot_be_read_is_written_anew_by_a_status(place):
    async with place.connect() as d:
        await place.put_claim(SCOPED, provider="S3")
        await d.claims.set_status("m", HF, ERROR, "anew")
        record = await d.claims.record("m")
        assert (record.provider, record.message) == (HF, "anew")
        await place.put(claim_key(SCOPED), b"{")
        assert await d.claims.counts() == (0, 0, 1)  # it has no phase
        await d.claims.delete("m")
        assert await d.claims.try_claim("m", HF) == Claimed()


# ---- written under the name alone


async def test_a_record_under_the_name_alone_is_adopted_once_on_a_claim(place):
    async with place.connect() as d:
        for status in (DOWNLOADED, ERROR):
            await place.put_claim(OLD, status=status, message="from before")
            assert await d.claims.status("m") == status
            assert await d.claims.try_claim("m", HF) == AlreadyExists(status)
            assert await place.stored(claim_key(OLD)) is None
            stored = await place.stored(claim_key(SCOPED))
            assert (stored["status"], stored["created_at"]) == (status, THEN)
            after = await d.claims.record("m")
            assert (after.message, after.last_used_at) == ("from before", THEN)
            assert sum(await d.claims.counts()) == 1
            assert await d.claims.try_claim("m", HF) == AlreadyExists(status)
            assert await d.claims.record("m") == after
            await d.claims.delete("m")


async def test_a_record_under_the_name_alone_of_another_provider_is_left_alone(place):
    async with place.connect() as d:
        await place.put_claim(OLD, provider=GCS)
        before = await place.stored(claim_key(OLD))
        assert await d.claims.try_claim("m", HF) == Claimed()
        assert await place.stored(claim_key(OLD)) == before
        assert (await d.claims.record("m")).provider == HF  # looked up first
        assert await d.claims.try_claim("m", GCS) == AlreadyExists(DOWNLOADED)
        assert await place.stored(claim_key(OLD)) is None


async def test_a_download_under_the_name_alone_is_adopted_as_one_whose_owner_was_lost(place):
    async with place.connect() as d:
        await place.put_claim(OLD, status="DOWNLOADING")
        assert await d.claims.try_claim("m", HF) == AlreadyExists(ERROR)
        assert await d.claims.try_reset_error("m", HF)


async def test_a_record_under_the_name_alone_is_touched_and_deleted_by_its_name(place):
    async with place.connect() as d:
        await place.put_claim(OLD)
        await d.claims.touch("m")
        assert (await d.claims.record("m")).last_used_at > THEN
        await d.claims.delete("m")
        assert await place.stored(claim_key(OLD)) is None


async def test_an_owner_that_lives_without_a_record_keeps_others_from_claiming(place):
    async with place.connect() as d, place.connect() as owner:
        await owner.claims.try_claim("n", HF)  # so that it has a lease
        await place.put(claim_owner_key(SCOPED), {}, lease=owner.instance_id)
        with pytest.raises(FailedPreconditionError, match="lives"):
            await d.claims.try_claim("m", HF)
        assert await owner.claims.try_claim("m", HF) == Claimed()


async def test_whoever_waits_is_told_once_of_a_record_that_cannot_be_read(place):
    async with place.connect() as d, d.claims.wait("m", HF) as stream:
        assert await anext(stream) is None
        await place.put_claim(object_name(HF, "m"), created_at="yesterday")
        with pytest.raises(RecordError, match="created_at"):
            await anext(stream)
        await d.claims.set_status("m", HF, "DOWNLOADED")
        assert (await anext(stream)).status == "DOWNLOADED"


async def test_a_stream_that_nobody_has_any_more_is_followed_no_more(place):
    async with place.connect() as d:
        async for _ in d.claims.wait("m", HF):
            break
        assert not d._streams


async def test_a_mark_is_no_place_to_keep_things(place):
    async with place.connect() as d:
        deed = Deed("try_claim", {"name": "m", "provider": HF, "mark": "x" * 65}, "m")
        with pytest.raises(InvalidArgumentError, match=r"request\.mark: expected 64 characters"):
            await d.claims._asking.do(deed, "claim")
