"""Registries for tests of catalog and claims, and what others may have written into them."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import discovery
from discovery.bookkeys import catalog_key, catalog_owner, claim_key
from discovery.store import Put
from tests.support.places import EmbeddedPlace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping

    from discovery import Discovery

THEN = "2026-01-02T03:04:05.000Z"


class BookPlace(EmbeddedPlace):
    """An embedded registry: a new one in memory, or that of an etcd."""

    def __init__(self, url: str | None = None) -> None:
        super().__init__()
        self.url = url or self.url

    @asynccontextmanager
    async def connected(self, count: int) -> AsyncGenerator[list[Discovery]]:
        """Connect several; in an etcd every other one by a daemon's core of its own."""
        urls = [self.url, self.url.replace("127.0.0.1", "localhost")]
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(discovery.connect(urls[number % 2]))
                for number in range(count)
            ]

    async def put(self, key: str, value: object, lease: int | None = None) -> None:
        """Write a record as somebody else would, be it bytes or JSON."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()

        async def write(core: Any) -> None:
            await core.replica.reached(await core.store.commit([Put(key, data, lease)]))

        await self.run(write)

    async def put_claim(
        self, object_: str, *, without: Collection[str] = (), **fields: object
    ) -> None:
        """Write a claim, of which every field may be another, or missing."""
        written: dict[str, object] = {
            "model_name": "m",
            "provider": "HuggingFace",
            "status": "DOWNLOADED",
            "created_at": THEN,
            "last_used_at": THEN,
            "message": None,
        }
        written |= fields
        await self.put(claim_key(object_), {n: v for n, v in written.items() if n not in without})

    async def put_model(
        self, name: str = "m", version: int = 1, *, without: Collection[str] = (), **fields: object
    ) -> None:
        """Write a row of the global part; as above."""
        written: dict[str, object] = {
            "name": name,
            "version": version,
            "tenant": None,
            **MODEL,
            "config": {},
            "status": "registered",
            "created_at": THEN,
            "updated_at": THEN,
        }
        written |= fields
        row = catalog_key(catalog_owner(None), name, version)
        await self.put(row, {n: v for n, v in written.items() if n not in without})

    async def stored(self, key: str) -> dict[str, Any] | None:
        """Return a record as it lies in the store."""

        async def read(core: Any) -> bytes | None:
            entries = (await core.store.snapshot("")).entries
            return next((entry.value for entry in entries if entry.key == key), None)

        value = await self.run(read)
        return json.loads(value) if value else None


MODEL = {"model_type": "llm", "backend": "vllm", "task": "generate"}
"""The columns that a registration must have."""


async def ask(d: Discovery, op: str, **fields: object) -> Mapping[str, object]:
    """Send a request past the API; return its answer."""
    return await d._io.run(d._here.ask(op, **fields))


async def ask_rows(d: Discovery, op: str, **fields: object) -> Any:
    """Send a request past the API; return the rows that it is answered with."""
    return await d._io.run(d._here.ask_rows(op, **fields))


async def first(stream: Any) -> Any:
    """Return what a stream says next."""
    return await anext(aiter(stream))
