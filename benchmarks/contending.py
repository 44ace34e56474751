"""Contenders for `races`, ours and the peer's, and who watches them: a process each."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING

import peer

import discovery
from discovery.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from multiprocessing.connection import Connection

    Seen = Collection[tuple[str, str]]
    """The component and the display name of each model that was there, however shortly."""

_MODELS = "v1/mdc/"
_HISTORY = 10_000


def contend(pipe: Connection, url: str, name: str) -> None:
    asyncio.run(_compete(pipe, url, name))


async def _compete(pipe: Connection, url: str, name: str) -> None:
    async with discovery.connect(url) as d:

        async def register(component: str) -> None:
            place = {"namespace": "race", "component": component, "endpoint": "generate"}
            await d.register(discovery.ModelSpec(**place, card={"display_name": name}))

        await _obey(pipe, register, discovery.ModelConflictError)


def contend_as_peer(pipe: Connection, url: str, name: str) -> None:
    asyncio.run(_compete_as_peer(pipe, url, name))


async def _compete_as_peer(pipe: Connection, url: str, name: str) -> None:
    runtime = peer.begin(url)
    from dynamo.llm import ModelInput, ModelType, WorkerType, register_model  # noqa: PLC0415

    async def register(component: str) -> None:
        await register_model(
            ModelInput.Text,
            ModelType.Chat,
            runtime.endpoint(f"race.{component}.generate"),
            f"org/{name}",
            name,
            worker_type=WorkerType.Aggregated,
            skip_model_assets=True,
        )

    await _obey(pipe, register, Exception)  # it has no class of its own for a conflict


async def _obey(
    pipe: Connection, register: Callable[[str], Awaitable[None]], refusal: type[Exception]
) -> None:
    """Register where one is told to at the instant one is told; say whether that was accepted."""
    await register("warm" + str(time.monotonic_ns()))  # the first is slower
    pipe.send(None)
    while True:
        component, at = await asyncio.to_thread(pipe.recv)
        while time.monotonic_ns() < at:
            pass
        has_won = True
        try:
            await register(component)
        except refusal:
            has_won = False
        pipe.send(has_won)


def route(pipe: Connection, url: str) -> None:
    """Watch as a router of ours does."""
    asyncio.run(_stream(pipe, url))


async def _stream(pipe: Connection, url: str) -> None:
    seen: set[tuple[str, str]] = set()
    async with discovery.connect(url) as d, d.watch(discovery.ModelQuery()) as stream:
        await stream.synced()
        asking = asyncio.create_task(_answer(pipe, seen))
        async for event in stream:
            if isinstance(event, discovery.Added):
                seen.add((event.instance.id.component, event.instance.display_name))
        await asking


def witness(pipe: Connection, url: str) -> None:
    """Watch the keys of models in etcd, which are the same ones."""
    asyncio.run(_read(pipe, url))


async def _read(pipe: Connection, url: str) -> None:
    seen: set[tuple[str, str]] = set()
    async with open_store(url, history_revisions=_HISTORY, rng=random.Random()) as store:
        start = (await store.snapshot(_MODELS)).revision
        async with store.watch(_MODELS, start) as watch:
            asking = asyncio.create_task(_answer(pipe, seen))
            while True:
                await watch.wait()
                for change in (change for batch in watch.ready() for change in batch.changes):
                    if change.entry is not None:
                        record = json.loads(change.entry.value)
                        seen.add((record["component"], record["card_json"]["display_name"]))
        await asking


async def _answer(pipe: Connection, seen: Seen) -> None:
    pipe.send(None)
    await asyncio.to_thread(pipe.recv)
    pipe.send(seen)
