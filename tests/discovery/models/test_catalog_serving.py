"""A retired model is not served: what that is decided by, and that no race gets around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

import discovery
from discovery import FailedPreconditionError, InvalidArgumentError, ModelQuery
from discovery.spec import ModelSpec
from tests.support.bookplaces import MODEL
from tests.support.places import until
from tests.support.specs import endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

ROUNDS = 40
STEP_S = 0.0005


def served(name: str = "shown", endpoint: str = "generate", **card: object) -> ModelSpec:
    card = {"display_name": name, **card}
    return ModelSpec(namespace="prod", component="vllm", endpoint=endpoint, card=card)


async def test_a_card_that_names_a_retired_model_by_its_key_is_refused(place):
    async with place.connect() as d:
        for version in (1, 2):
            await d.catalog.register("m", version=version, **MODEL)
        await d.catalog.retire("m", 1)
        with pytest.raises(FailedPreconditionError, match=r"'m::1'.*retired") as caught:
            await d.register_all([endpoint(), served(catalog_key="m::1")])
        assert not caught.value.retryable
        assert list(await d.list(ModelQuery())) == []
        assert list(await d.list(discovery.EndpointQuery())) == []  # nothing of the unit
        await d.register(served(catalog_key="m::2"))


async def test_a_card_without_a_key_stands_for_the_highest_version_of_its_name(place):
    async with place.connect() as d:
        await d.catalog.register("m", version=1, **MODEL)
        await d.catalog.register("m", version=2, **MODEL)
        await d.catalog.retire("m", 1)
        made = await d.register(served("m"))
        await d.unregister(made)
        await d.catalog.retire("m", 2)
        with pytest.raises(FailedPreconditionError, match=r"'m::2'.*retired"):
            await d.register(served("m", catalog_key=None))
        await d.register(served("m2"))


async def test_a_name_is_looked_up_in_the_tenant_of_who_registers(place):
    async with (
        place.connect() as d,
        discovery.connect(place.url, tenant="acme") as acme,
        discovery.connect(place.url, tenant="other") as other,
    ):
        await d.catalog.register("m", **MODEL)
        await acme.catalog.register("m", **MODEL)
        await acme.catalog.retire("m")
        with pytest.raises(FailedPreconditionError, match="'acme::m::1'"):
            await acme.register(served("m"))
        await acme.register(served("m", catalog_key="m::1"))
        await d.register(served("m", endpoint="b"))
        await other.register(served("m", endpoint="c"))
        await d.catalog.retire("m")
        with pytest.raises(FailedPreconditionError, match="'m::1'"):
            await other.register(served("m", endpoint="d"))


async def test_a_key_of_another_tenants_retired_model_says_nothing_of_it(place):
    async with (
        discovery.connect(place.url, tenant="acme") as acme,
        discovery.connect(place.url, tenant="other") as other,
        place.connect() as d,
    ):
        await acme.catalog.register("m", **MODEL)
        await acme.catalog.retire("m")
        await other.register(served(catalog_key="acme::m::1"))
        await d.register(served(catalog_key="acme::m::1"))


async def test_a_key_that_is_none_is_refused(place):
    async with place.connect() as d:
        for key in ("m", "m::0", "m::01", "m::1::", "a::b::c::1", 7, "", "::m::1"):
            with pytest.raises(InvalidArgumentError, match=r"card\.catalog_key"):
                await d.register(served(catalog_key=key))


async def test_what_the_catalog_does_not_know_is_served(place):
    async with place.connect() as d:
        await d.register(served(catalog_key="m::1"))
        await d.register(served("a::b", endpoint="b"))


async def test_what_is_registered_is_left_alone_by_a_retirement(place):
    async with place.connect() as d:
        await d.catalog.register("m", **MODEL)
        made = await d.register(served("m"))
        await d.catalog.retire("m")
        assert list(await d.list(ModelQuery())) == [made]
        assert await d.register(served("m")) == made  # said again, it is no other
        with pytest.raises(FailedPreconditionError):
            await d.register(served("m", context_length=8))
        assert list(await d.list(ModelQuery())) == [made]


async def test_what_was_lost_with_a_lease_is_not_served_again_when_it_is_retired(place):
    async with place.connect(lease_ttl_s=1.0) as d, place.connect() as router:
        await d.catalog.register("m", **MODEL)
        await d.register(served("m"))
        await d.catalog.retire("m")
        await place.end_lease(d.instance_id)
        await until(lambda: d.failures or d._here.session.losses)
        await d.register(served("other", endpoint="b"))  # so the lease is back
        await until(lambda: d.failures)
        assert "retired" in str(d.failures[0].error)
        assert [one.endpoint for one in await router.list(ModelQuery())] == ["b"]


async def test_of_a_retirement_and_a_registration_at_once_one_sees_the_other(place):
    outcomes, head_start_s = set[bool](), 0.0
    async with place.connected(2) as all_:
        for number in range(ROUNDS):
            name, on = f"m{number}", f"e{number}"
            retirer, worker = all_ if number % 2 else reversed(all_)
            await retirer.catalog.register(name, **MODEL)
            async with asyncio.TaskGroup() as group:
                register = _after(-head_start_s, _registered(worker, served(name, on)))
                registering = group.create_task(register)
                retiring = group.create_task(_after(head_start_s, retirer.catalog.retire(name)))
            made, retired = registering.result(), retiring.result()
            there = await worker.list(ModelQuery(namespace="prod", component="vllm", endpoint=on))
            assert list(there) == ([made] if made else [])
            assert made is None or made.revision < retired.revision
            outcomes.add(made is not None)
            # The next round is closer to where either can be first.
            head_start_s += -STEP_S if made else STEP_S
    assert outcomes == {True, False}


async def _after(seconds: float, work: Awaitable[T]) -> T:
    await asyncio.sleep(max(0.0, seconds))
    return await work


async def _registered(d: discovery.Discovery, spec: ModelSpec) -> discovery.ModelInstance | None:
    try:
        return await d.register(spec)
    except FailedPreconditionError:
        return None
