"""One model identity per endpoint: the cases of spec/discovery.md §4.3 that belong to rule A.

On a store with guards and on one without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discovery.errors import ModelConflictError
from discovery.store import Put
from discovery.unit import Unit
from tests.support.registries import Daemon, Worker, serving
from tests.support.sample_specs import endpoint, model
from tests.support.stores import GuardlessStore, SteppedStore, memory_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from discovery.spec import ModelSpec
    from discovery.store import Store

pytestmark = pytest.mark.looptime


@pytest.fixture(params=[memory_store, GuardlessStore], ids=["memory", "guardless"])
async def daemon(request: pytest.FixtureRequest) -> AsyncGenerator[Daemon]:
    store: Store = request.param()
    daemon = Daemon(store)
    async with serving(daemon):
        yield daemon


@pytest.fixture
async def one(daemon: Daemon) -> Worker:
    return await Worker(daemon.registry, 1).grant()


@pytest.fixture
async def two(daemon: Daemon) -> Worker:
    return await Worker(daemon.registry, 2).grant()


@pytest.fixture
async def three(daemon: Daemon) -> Worker:
    return await Worker(daemon.registry, 3).grant()


def text(requested: str, incumbent: str, on: str = "generate") -> str:
    return (
        f"Cannot register model '{requested}' on endpoint 'prod/vllm/{on}': a different model "
        f"'{incumbent}' is already registered there"
    )


async def refused(worker: Worker, spec: ModelSpec, incumbent: str) -> ModelConflictError:
    """Check that a registration is refused, with the seed's text first."""
    with pytest.raises(ModelConflictError) as caught:
        await worker.register(spec)
    requested = str(spec.card["display_name"])
    assert str(caught.value).startswith(text(requested, incumbent, spec.endpoint))
    assert (caught.value.requested, caught.value.incumbent) == (requested, incumbent)
    return caught.value


async def test_case_1_two_instances_of_one_model(daemon: Daemon, one: Worker, two: Worker) -> None:
    await one.register(model("model-a"))
    await two.register(model("model-a"))
    assert len(daemon.list()) == 2


async def test_case_2_another_model_on_the_same_endpoint(
    daemon: Daemon, one: Worker, two: Worker
) -> None:
    await one.register(model("model-a"))
    await refused(two, model("model-b"), "model-a")
    assert len(daemon.list()) == 1


async def test_case_3_another_model_on_another_endpoint(
    daemon: Daemon, one: Worker, two: Worker
) -> None:
    await one.register(model("model-a", on="first"))
    await two.register(model("model-b", on="second"))
    assert len(daemon.list()) == 2


async def test_case_4_an_adapter_of_the_base(daemon: Daemon, one: Worker, two: Worker) -> None:
    await one.register(model("base", source="S"))
    await two.register(model("adapter", source="S", suffix="adapter"))
    assert len(daemon.list()) == 2


async def test_case_5_an_adapter_of_another_base(daemon: Daemon, one: Worker, two: Worker) -> None:
    await one.register(model("base", source="S"))
    await refused(two, model("adapter", source="T", suffix="adapter"), "base")
    assert len(daemon.list()) == 1


async def test_case_12_same_name_and_other_path(daemon: Daemon, one: Worker, two: Worker) -> None:
    await one.register(model("alias-a", source="/mount/a"))
    await two.register(model("alias-a", source="/mount/b"))
    assert len(daemon.list()) == 2


async def test_case_12_other_name_and_other_path(one: Worker, two: Worker) -> None:
    await one.register(model("alias-a", source="org/base"))
    await refused(two, model("alias-b", source="org/other"), "alias-a")


async def test_case_12_the_same_adapter_on_two_instances(
    daemon: Daemon, one: Worker, two: Worker, three: Worker
) -> None:
    await one.register(model("base", source="S"))
    for worker in (two, three):
        await worker.register(model("adapter", source="S", suffix="adapter"))
    assert len(daemon.list()) == 3


async def test_case_12_an_adapter_first_and_then_another_base(one: Worker, two: Worker) -> None:
    await one.register(model("adapter", source="S", suffix="adapter"))
    await refused(two, model("base", source="T"), "adapter")


async def test_case_13_the_same_registration_again(daemon: Daemon, one: Worker) -> None:
    first = await one.register(model("base", source="S"))
    assert await one.register(model("base", source="S")) == first
    assert len(daemon.list()) == 1


async def test_case_13_another_model_from_the_same_instance(daemon: Daemon, one: Worker) -> None:
    await one.register(model("base", source="org/base"))
    await refused(one, model("other", source="org/other"), "base")
    (instance,) = daemon.list()
    assert instance.display_name == "base"  # type: ignore[union-attr]


async def test_case_13_an_adapter_of_another_base_from_the_same_instance(one: Worker) -> None:
    await one.register(model("base", source="org/base"))
    await refused(one, model("adapter", source="org/other", suffix="adapter"), "base")


async def test_every_model_there_is_checked_since_the_relation_is_not_transitive(
    one: Worker, two: Worker, three: Worker
) -> None:
    await one.register(model("adapter", source="S", suffix="adapter"))
    await two.register(model("n", source="S"))
    await refused(three, model("m", source="S"), "n")


async def test_without_a_source_the_name_is_the_base(one: Worker, two: Worker) -> None:
    await one.register(model("base"))
    await two.register(model("adapter", source="base", suffix="adapter"))


# ---- what the refusal says


async def test_the_refusal_names_the_instances_and_since_when(
    daemon: Daemon, one: Worker, two: Worker, three: Worker
) -> None:
    daemon.now_ms = 1_700_000_000_000
    await one.register(model("model-a"))
    daemon.now_ms += 60_000
    await two.register(model("model-a"))
    error = await refused(three, model("model-b"), "model-a")
    assert error.endpoint == "prod/vllm/generate"
    assert (error.incumbent_count, error.since_ms) == (2, 1_700_000_000_000)
    assert str(error) == (
        text("model-b", "model-a") + " (2 instances, since at least 2023-11-14T22:13:20Z)"
    )


async def test_a_unit_that_contradicts_itself_names_no_incumbent_instances(one: Worker) -> None:
    with pytest.raises(ModelConflictError) as caught:
        await one.register(model("m"), model("n", suffix="s"))
    assert str(caught.value) == text("m", "n")


async def test_a_refused_unit_registers_nothing(daemon: Daemon, one: Worker, two: Worker) -> None:
    await one.register(model("model-a"))
    with pytest.raises(ModelConflictError):
        await two.register(endpoint(), model("model-b"))
    assert daemon.list("endpoints") == []


# ---- the incumbent


async def test_an_update_keeps_the_place(daemon: Daemon, one: Worker, two: Worker) -> None:
    await one.register(model("model-a"))
    (before,) = (await daemon.store.snapshot("v1/")).entries
    await one.register(model("model-a", more="1"))
    (after,) = (await daemon.store.snapshot("v1/")).entries
    assert after.created == before.created
    assert after.revision > before.revision
    await refused(two, model("model-b"), "model-a")


async def test_the_place_is_free_once_the_last_incumbent_left(one: Worker, two: Worker) -> None:
    await one.register(model("model-a"))
    await one.unregister(model("model-a"))
    await two.register(model("model-b"))
    await refused(one, model("model-a"), "model-b")


async def foreign(daemon: Daemon, spec: ModelSpec, instance_id: int = 99) -> None:
    """Write as the peer does: unguarded, and without a lease."""
    unit = Unit.of([spec], instance_id, "a", daemon.registry._limits)
    await daemon.store.commit([Put(key, value) for key, value in unit.records.items()])


async def test_a_foreign_model_that_contradicts_is_not_shown(daemon: Daemon, one: Worker) -> None:
    await one.register(model("model-a"))
    await foreign(daemon, model("model-b"))
    assert [i.instance_id for i in daemon.list()] == [1]
    await foreign(daemon, model("model-a"), 98)
    assert [i.instance_id for i in daemon.list()] == [1]  # it contradicts the hidden one
    await one.unregister(model("model-a"))
    assert [i.instance_id for i in daemon.list()] == [0x63]


async def test_a_foreign_model_that_was_first_stays(daemon: Daemon, one: Worker) -> None:
    await foreign(daemon, model("model-b"))
    await refused(one, model("model-a"), "model-b")


async def test_a_foreign_model_does_not_stop_the_incumbents_updates(
    daemon: Daemon, one: Worker
) -> None:
    """Found in review: a later writer could hold the incumbent hostage."""
    await one.register(model("model-a"))
    await foreign(daemon, model("model-b"))
    await one.register(model("model-a", more="1"))
    (instance,) = daemon.list()
    assert instance.card["more"] == "1"  # type: ignore[union-attr]


async def test_a_record_that_cannot_be_read_stands_in_nobodys_way(
    daemon: Daemon, one: Worker
) -> None:
    await daemon.store.commit([Put("v1/mdc/prod/vllm/generate/63", b"junk")])
    await one.register(model("model-a"))
    assert [i.instance_id for i in daemon.list()] == [1]


# ---- a refusal is decided on what is, not on what a daemon remembers


async def test_a_daemon_that_lags_behind_does_not_refuse_what_has_become_free() -> None:
    """Found in review: it refused because of a model that had left through another daemon."""
    store = memory_store()
    lagging = SteppedStore(store)
    here, there = Daemon(store), Daemon(lagging)  # type: ignore[arg-type]
    async with serving(here, there):
        worker = await Worker(here.registry, 1).grant()
        other = await Worker(here.registry, 2).grant()
        await worker.register(model("model-a"))
        there.replica.drain()
        lagging.hold()
        await worker.unregister(model("model-a"))

        async def arrive(_: str) -> None:
            lagging.release()

        lagging.before = arrive
        await other.at(there).register(model("model-b"))
        assert len(here.list()) == 1


async def test_a_daemon_that_lags_behind_does_not_call_a_new_lease_ended() -> None:
    """Found in review: a client that failed over lost the lease it had just been given."""
    store = memory_store()
    lagging = SteppedStore(store)
    here, there = Daemon(store), Daemon(lagging)  # type: ignore[arg-type]
    async with serving(here, there):
        lagging.hold()
        worker = await Worker(here.registry, 1).grant()

        async def arrive(_: str) -> None:
            lagging.release()

        lagging.before = arrive
        await there.registry.keep_alive(1, worker.token)
        await worker.at(there).register(model("model-a"))
        assert len(here.list()) == 1
