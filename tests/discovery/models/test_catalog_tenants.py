"""A tenant never sees, changes or infers another tenant's models."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

import discovery
from discovery import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from discovery.bookkeys import catalog_owner
from tests.support.bookplaces import MODEL, ask, ask_rows, first
from tests.support.places import daemon_place
from tests.support.raw_client import raw_client
from transports.codec import MSGPACK
from transports.frame import pack

ACME = "acme"

OTHERS = [
    "Acme",
    "acm",
    "acme2",
    "acme.",
    "acme ",
    "аcme",  # noqa: RUF001 - a Cyrillic letter
    "acme\u0301",
    "tenant.acme",
    "global",
    "acme%2F",
    "%61cme",
    "acme/m",
    "acme:m",
    "..",
    None,  # last, since all see what it registers
]


def as_tenant(place, tenant):
    return discovery.connect(place.url, tenant=tenant)


# ---- others, by names that look alike


async def test_another_tenant_finds_nothing_lists_nothing_and_retires_nothing(place):
    async with as_tenant(place, ACME) as acme:
        made = await acme.catalog.register("m", version=3, artifact_path="/a", **MODEL)
        for other in OTHERS:
            async with as_tenant(place, other) as d:
                assert await d.catalog.get("m") is None
                assert await d.catalog.get("m", 3) is None
                assert await d.catalog.list() == []
                with pytest.raises(NotFoundError) as missing:
                    await d.catalog.retire("n", 3)
                with pytest.raises(NotFoundError) as hidden:
                    await d.catalog.retire("m", 3)
                assert str(hidden.value) == str(missing.value).replace("'n'", "'m'")
                with pytest.raises(NotFoundError):
                    await d.catalog.retire("m")
        assert await acme.catalog.get("m") == made


async def test_another_tenants_model_of_the_same_name_is_another_model(place):
    async with as_tenant(place, ACME) as acme:
        hidden = await acme.catalog.register("m", artifact_path="/a", **MODEL)
        keys = {hidden.key}
        for other in OTHERS:
            async with as_tenant(place, other) as d:
                own = await d.catalog.register("m", **{**MODEL, "backend": "http"})
                assert (own.tenant, own.artifact_path) == (other, None)
                assert own.key not in keys
                keys.add(own.key)
                assert [own] == await d.catalog.list()
                retired = await d.catalog.retire("m")
                assert (retired.tenant, retired.key) == (other, own.key)
        assert await acme.catalog.get("m") == hidden


async def test_a_tenant_that_is_called_global_is_not_everybody(place):
    async with as_tenant(place, "global") as named, place.connect() as d:
        own = await named.catalog.register("m", **MODEL)
        assert (own.key, own.tenant) == ("global::m::1", "global")
        assert await d.catalog.get("m") is None
        assert await d.catalog.list() == []
        for_all = await d.catalog.register("m", **MODEL)
        await d.catalog.register("n", **MODEL)
        assert await named.catalog.get("m") == own
        assert await d.catalog.get("m") == for_all
        with pytest.raises(NotFoundError):
            await named.catalog.retire("n")


async def test_a_watcher_of_another_tenant_hears_of_nothing(place):
    async with as_tenant(place, ACME) as acme:
        for number, other in enumerate(OTHERS):
            async with as_tenant(place, other) as d, d.catalog.watch() as stream:
                await stream.synced()
                hidden = await acme.catalog.register(f"m{number}", **MODEL)
                await acme.catalog.retire(hidden.name)
                own = await d.catalog.register("last", **MODEL)
                assert await first(stream) == own
                assert list(stream.records) == [own.key]


async def test_requests_past_the_api_for_another_tenants_part_are_refused(place):
    async with as_tenant(place, ACME) as acme, place.connect() as d:
        await acme.catalog.register("m", **MODEL)
        owner, since = catalog_owner(ACME), {"client": "c", "epoch": None, "since": 0}
        for other in OTHERS:
            named = {} if other is None else {"tenant": other}
            for scope in (["catalog", owner], ["catalog", owner, "m"], ["catalog"]):
                for op, more in (("list", {}), ("sync", since)):
                    with pytest.raises(PermissionDeniedError, match="not the caller's"):
                        await ask(d, op, scope=scope, min_revision=0, **more, **named)
            for scope in (["catalog", catalog_owner(other)], ["catalog", "global"], ["claims"]):
                found = await ask(d, "list", scope=scope, min_revision=0, **named)
                assert found["chunks"] == 0
            assert (await ask(d, "find_model", name="m", **named))["record"] is None
            assert await ask_rows(d, "models", **named) == []
            with pytest.raises(NotFoundError):
                await ask(d, "retire_model", name="m", version=1, **named)


async def test_over_a_socket_another_tenants_part_is_refused():
    async with daemon_place() as place, place.connect(tenant=ACME) as acme:
        await acme.catalog.register("m", **MODEL)
        scope = ["catalog", catalog_owner(ACME)]
        asked = {"op": "list", "scope": scope, "min_revision": 0}
        with raw_client(urlsplit(place.url).port) as raw:
            for tenant in (None, "Acme", "tenant.acme"):
                refused = raw.refused(pack(MSGPACK, {**asked, "tenant": tenant}))
                assert refused["code"] == "permission_denied"
            for tenant in (7, "", "a::b", ["acme"], {"acme": 1}):
                refused = raw.refused(pack(MSGPACK, {**asked, "tenant": tenant}))
                assert refused["code"] == "invalid_argument"
            assert raw.ask(**asked, tenant=ACME)["chunks"] == 1


async def test_what_is_told_of_the_whole_registry_names_no_model_of_a_tenant(place):
    async with (
        as_tenant(place, ACME) as acme,
        place.connect() as d,
        acme.catalog.watch() as stream,
    ):
        await acme.catalog.register("secret-model", **MODEL)
        await stream.synced()
        told = [await d.status(), await d.watchers(), await d.leases()]
        assert "secret-model" not in str(told)
        assert "catalog" not in told[0]["records"]


# ---- own and global


async def test_a_name_is_looked_up_with_the_tenant_then_with_everybody(place):
    async with as_tenant(place, ACME) as acme, place.connect() as d:
        for_all = await d.catalog.register("m", version=9, **MODEL)
        assert await acme.catalog.get("m") == for_all
        own = await acme.catalog.register("m", version=2, **MODEL)
        assert (own.key, own.tenant) == ("acme::m::2", ACME)
        assert await acme.catalog.get("m") == own  # before a higher version of everybody's
        assert await acme.catalog.get("m", 9) == for_all
        assert await acme.catalog.get("m", 2) == own
        assert await d.catalog.get("m") == for_all
        assert await d.catalog.get("m", 2) is None
        assert await d.catalog.list() == [for_all]
        assert await acme.catalog.list() == [for_all, own]
        retired = await acme.catalog.retire("m")
        assert await acme.catalog.get("m") == retired  # retired, it still is what the name means


async def test_a_tenant_retires_only_its_own(place):
    async with as_tenant(place, ACME) as acme, place.connect() as d:
        for_all = await d.catalog.register("m", **MODEL)
        for version in (None, 1):
            with pytest.raises(NotFoundError):
                await acme.catalog.retire("m", version)
        assert await d.catalog.get("m") == for_all
        await acme.catalog.register("m", **MODEL)
        assert (await acme.catalog.retire("m")).tenant == ACME
        assert await d.catalog.get("m") == for_all
        await acme.catalog.retire("m")  # twice is no error
        with pytest.raises(NotFoundError):
            await acme.catalog.retire("m", 2)


async def test_a_watcher_sees_its_own_models_and_everybodys(place):
    async with (
        as_tenant(place, ACME) as acme,
        place.connect() as d,
        acme.catalog.watch() as stream,
    ):
        await stream.synced()
        for_all = await d.catalog.register("m", **MODEL)
        assert await first(stream) == for_all
        own = await acme.catalog.register("m", **MODEL)
        assert await first(stream) == own
        assert stream.records == {"m::1": for_all, "acme::m::1": own}


async def test_a_model_derives_from_ones_own_or_everybodys(place):
    async with as_tenant(place, ACME) as acme, place.connect() as d:
        for base in ("b::1", "acme::b::1"):
            made = await acme.catalog.register("m", base_model=base, **MODEL)
            assert made.base_model == base
        with pytest.raises(InvalidArgumentError, match="base_model"):
            await acme.catalog.register("m", base_model="other::b::1", **MODEL)
        with pytest.raises(InvalidArgumentError, match="base_model"):
            await d.catalog.register("m", base_model="acme::b::1", **MODEL)


@pytest.mark.parametrize("tenant", ["a::b", ":a", "a:", "::", "", "a\nb", "x" * 65, 7])
def test_a_tenant_that_could_be_taken_for_another_key_is_refused(tenant):
    with pytest.raises(InvalidArgumentError, match="tenant"):
        discovery.connect("memory://", tenant=tenant)


async def test_who_watches_a_part_of_the_catalog_is_told_without_whose_it_is(place):
    async with place.connect(tenant="acme") as d, d.catalog.watch() as stream:
        await stream.synced()
        assert {tuple(row["scope"]) for row in await d.watchers()} == {("catalog",)}


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_whoever_waits_on_a_watch_that_ends_is_told_by_one_error(place, tenant):
    async with place.connect(tenant=tenant) as d:
        async with d.catalog.watch() as stream:
            await stream.synced()
            waiting = asyncio.get_running_loop().create_task(stream.changed())
            await asyncio.sleep(0)
        with pytest.raises(FailedPreconditionError, match="the stream is closed"):
            await waiting
