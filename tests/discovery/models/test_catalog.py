"""The catalog of one owner: every rule of it, in memory and in an etcd."""

from __future__ import annotations

import asyncio
import copy

import pytest

from discovery import InvalidArgumentError, RecordError
from discovery.bookkeys import catalog_key
from discovery.fields import Fields
from discovery.models import CatalogStatus
from tests.support.bookplaces import MODEL, first

# ---- registering


async def test_what_is_registered_is_found_with_all_its_columns(place):
    columns = {
        "model_type": "lora",
        "backend": "http",
        "task": "embed",
        "base_model": "llama::3",
        "artifact_path": "/weights/m",
        "config": {"url": "http://h", "depth": [1, {"a": None}]},
    }
    async with place.connect() as d:
        made = await d.catalog.register("org/M-1.0", version=7, **columns)
        found = await d.catalog.get("org/M-1.0")
        assert found == made
        assert {name: getattr(found, name) for name in columns} == columns
        assert (found.key, found.name, found.version) == ("org/M-1.0::7", "org/M-1.0", 7)
        assert (found.tenant, found.status) == (None, CatalogStatus.REGISTERED)
        assert found.created_at == found.updated_at
        assert found.created_at.endswith("Z")


async def test_registering_again_refreshes_columns_and_keeps_created_at_and_status(place):
    async with place.connect() as d:
        await place.put_model(status="loaded", artifact_path="/a")
        old = await d.catalog.get("m")
        new = await d.catalog.register(
            "m", model_type="embedding", backend="sglang", task="embed", config={"a": 1}
        )
        assert new == await d.catalog.get("m")
        assert (new.model_type, new.backend, new.task) == ("embedding", "sglang", "embed")
        assert new.config == {"a": 1}
        assert (new.created_at, new.status) == (old.created_at, "loaded")
        assert new.updated_at > old.updated_at
        assert new.revision > old.revision
        assert len(await d.catalog.list()) == 1


async def test_a_retired_model_that_is_registered_again_stays_retired(place):
    async with place.connect() as d:
        await d.catalog.register("m", **MODEL)
        await d.catalog.retire("m")
        again = await d.catalog.register("m", **{**MODEL, "backend": "http"})
        assert (again.status, again.backend) == ("retired", "http")
        assert await d.catalog.list() == []


async def test_an_artifact_path_is_replaced_by_another_and_never_cleared(place):
    async with place.connect() as d:
        assert (await d.catalog.register("m", **MODEL)).artifact_path is None
        assert (await d.catalog.register("m", artifact_path="/a", **MODEL)).artifact_path == "/a"
        refreshed = await d.catalog.register("m", **{**MODEL, "backend": "http"})
        assert (refreshed.artifact_path, refreshed.backend) == ("/a", "http")
        assert (await d.catalog.register("m", artifact_path="/b", **MODEL)).artifact_path == "/b"


async def test_an_identical_registration_changes_nothing(place):
    async with place.connect() as d:
        made = await d.catalog.register("m", artifact_path="/a", config={"a": [1]}, **MODEL)
        assert await d.catalog.register("m", config={"a": [1]}, **MODEL) == made
        assert await d.catalog.get("m") == made


async def test_registrations_at_once_lose_none_of_what_each_sets(place):
    async with place.connected(4) as all_:
        async with asyncio.TaskGroup() as group:
            for number, d in enumerate(all_ * 2):
                group.create_task(d.catalog.register("m", version=number + 1, **MODEL))
                group.create_task(d.catalog.register("same", artifact_path="/a", **MODEL))
                group.create_task(d.catalog.register("same", **{**MODEL, "backend": f"b{number}"}))
        last = await all_[0].catalog.register("m", version=9, **MODEL)
        assert await all_[0].catalog.get("m") == last
        assert (await all_[0].catalog.get("same")).artifact_path == "/a"
        assert len(await all_[0].catalog.list()) == 10


# ---- looking up


async def test_a_name_stands_for_its_highest_version(place):
    async with place.connect() as d:
        for version in (2, 10, 9):
            await d.catalog.register("m", version=version, **MODEL)
        await d.catalog.register("m2", version=11, **MODEL)
        assert (await d.catalog.get("m")).version == 10
        assert (await d.catalog.get("m", 2)).version == 2
        assert await d.catalog.get("m", 1) is None
        assert await d.catalog.get("M") is None


async def test_a_retired_model_is_found_and_not_listed(place):
    async with place.connect() as d:
        for version in (1, 2):
            await d.catalog.register("m", version=version, **MODEL)
        retired = await d.catalog.retire("m")
        assert (retired.version, retired.status) == (2, "retired")
        assert await d.catalog.get("m") == retired
        assert await d.catalog.get("m", 2) == retired
        assert [found.version for found in await d.catalog.list()] == [1]


async def test_models_are_listed_by_when_they_were_first_registered(place):
    async with place.connect() as d:
        await place.put_model("c", created_at="2026-01-01T00:00:00.001Z")
        await place.put_model("a", created_at="2026-01-01T00:00:00.003+00:00")
        await place.put_model("b", created_at="2026-01-01T01:00:00.002+01:00")
        await d.catalog.register("c", **{**MODEL, "backend": "http"})
        assert [found.name for found in await d.catalog.list()] == ["c", "b", "a"]


async def test_retiring_twice_succeeds_and_the_second_changes_nothing(place):
    async with place.connect() as d:
        made = await d.catalog.register("m", **MODEL)
        retired = await d.catalog.retire("m")
        assert retired.revision > made.revision
        assert retired.created_at == made.created_at
        assert await d.catalog.retire("m") == retired
        assert await d.catalog.retire("m", 1) == retired


async def test_a_watcher_is_told_of_each_change(place):
    async with place.connect() as d, d.catalog.watch() as stream:
        await stream.synced()
        assert stream.records == {}
        assert await d.catalog.register("m", **MODEL) == await first(stream)
        assert await d.catalog.register("m", artifact_path="/a", **MODEL) == await first(stream)
        retired = await d.catalog.retire("m")
        assert await first(stream) == retired
        assert stream.records == {"m::1": retired}


# ---- what is refused


async def test_what_is_wrong_is_named_by_its_column(place):
    wrong = {
        "task": ["cook", "Embed", None],
        "model_type": ["", 7],
        "backend": ["a\nb"],
        "artifact_path": [""],
        "base_model": ["llama", "llama::01"],
        "config": [[1], {"a": {1}}],
        "version": [0, True, "1", 2**63],
    }
    async with place.connect() as d:
        for column, values in wrong.items():
            for value in values:
                with pytest.raises(InvalidArgumentError, match=rf"^{column}\b"):
                    await d.catalog.register("m", **{**MODEL, column: value})
        assert await d.catalog.list() == []


async def test_a_version_that_is_missing_reads_as_one(place):
    async with place.connect() as d:
        await place.put_model("stored", without=["version"])
        assert (await d.catalog.get("stored")).key == "stored::1"
        made = await d.catalog.register("m", **MODEL)
        assert (made.version, made.key) == (1, "m::1")
        assert {found.version for found in await d.catalog.list()} == {1}


async def test_a_row_that_cannot_be_read_is_an_error_and_skipped_in_the_list(place, caplog):
    async with place.connect() as d:
        await place.put_model("good")
        await place.put_model("task", task="cook")
        await place.put_model("status", status="gone")
        await place.put_model("elsewhere", tenant="acme")
        await place.put(catalog_key("global", "json", 1), b"{")
        for name, why in {"task": "task 'cook'", "status": "'gone'", "json": "JSON"}.items():
            with pytest.raises(RecordError, match=why):
                await d.catalog.get(name)
        assert [found.name for found in await d.catalog.list()] == ["good"]
        assert caplog.text.count("malformed model of the catalog skipped") == 4
        async with d.catalog.watch() as stream:
            assert (await first(stream)).name == "good"
            assert list(stream.records) == ["good::1"]


async def test_a_row_that_cannot_be_read_is_registered_as_if_it_were_new(place):
    async with place.connect() as d:
        await place.put_model(task="cook")
        made = await d.catalog.register("m", **MODEL)
        assert made == await d.catalog.get("m")


async def test_a_name_that_could_be_taken_for_another_key_is_refused(place):
    async with place.connect() as d:
        for name in ("a::b", ":a", "a:", "::", "", "a\0b", "x" * 254, "\ud800", 7):
            with pytest.raises(InvalidArgumentError, match=r"^name"):
                await d.catalog.register(name, **MODEL)
            with pytest.raises(InvalidArgumentError, match=r"^name"):
                await d.catalog.get(name)
            with pytest.raises(InvalidArgumentError, match=r"^name"):
                await d.catalog.retire(name)
        assert await d.catalog.list() == []


async def test_a_list_is_longer_than_what_goes_over_in_one_piece(place):
    config = {"a": "x" * 100_000}
    async with place.connect() as d:
        for number in range(12):
            await d.catalog.register(f"m{number}", **(MODEL | {"config": config}))
        assert [len(one.config["a"]) for one in await d.catalog.list()] == [100_000] * 12
        with pytest.raises(InvalidArgumentError, match=r"'big::1': 14\d+ bytes, expected 131072"):
            await d.catalog.register("big", **(MODEL | {"config": {"a": "x" * 140_000}}))


async def test_many_models_may_be_registered_at_once_beside_workers(place):
    async with place.connect() as d, asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(d.catalog.register(f"m{number}", **MODEL))


async def test_a_retirement_that_is_repeated_retires_no_newer_version(place):
    async with place.connect() as d:
        await d.catalog.register("m", **MODEL)
        await place.run(lambda core: answer_twice(core, "retire_model"))
        assert (await d.catalog.retire("m")).version == 1
        assert not (await d.catalog.get("m", 2)).is_retired


async def answer_twice(core, op):
    """Let a request be carried out, a newer version be registered, and the request come again."""
    calls = core.service._calls
    real = calls[op]

    async def twice(fields):
        calls[op] = real
        again = copy.deepcopy(fields)
        await real(fields)
        register = {"name": "m", "version": 2, "at": 0, **MODEL}
        await calls["register_model"](Fields("request", register))
        return await real(again)

    calls[op] = twice
