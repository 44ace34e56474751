"""The processes of `discoveryctl demo`: a worker and a router, as an application would write them.

usage: python -m discovery.cli.actors worker URL TTL_S MODEL
       python -m discovery.cli.actors router URL

They tell what happens as JSON lines. They end on SIGTERM, and when their input does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

from discovery.client import connect
from discovery.errors import ModelConflictError
from discovery.events import Added, Removed
from discovery.instance import ModelInstance
from discovery.query import ModelQuery
from discovery.spec import EndpointSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from discovery.watch import WatchStream

_PLACE = {"namespace": "demo", "component": "llm", "endpoint": "generate"}
_CONNECT_S = 15.0  # the daemon is started at the same time


async def worker(url: str, ttl_s: str, model: str) -> None:
    """Register an endpoint and its model as one unit, and stay."""
    async with connect(url, lease_ttl_s=float(ttl_s), connect_timeout_s=_CONNECT_S) as d:
        address = f"127.0.0.1:9000/{d.instance_id:x}/generate"
        endpoint = EndpointSpec(**_PLACE, transport={"tcp": address})
        card = ModelSpec(**_PLACE, card={"display_name": model})
        identity = str(card.id(d.instance_id))
        try:
            await d.register_all([endpoint, card])
        except ModelConflictError as error:
            _say(refused=identity, why=str(error))
            return
        _say(registered=identity)
        async for _ in _questions():
            pass


async def router(url: str) -> None:
    """Follow all models: tell each event, and the view each time it is asked for."""
    query = ModelQuery(namespace=_PLACE["namespace"])
    async with (
        connect(url, connect_timeout_s=_CONNECT_S) as d,
        d.watch(query) as models,
        asyncio.TaskGroup() as group,
    ):
        await models.synced()
        _say(synced=len(models.instances))
        following = group.create_task(_follow(models))
        async for _ in _questions():
            view = sorted(str(identity) for identity in models.instances)
            _say(view=view, state=models.state, epoch=models.epoch)
        following.cancel()


async def _follow(models: WatchStream) -> None:
    async for event in models:
        match event:
            case Added(instance=ModelInstance() as model):
                _say(added=str(model.id), model=model.display_name)
            case Removed():
                _say(removed=str(event.id), cause=event.cause)
            case _:
                pass


async def _questions() -> AsyncIterator[bytes]:
    """Yield the lines of the input; end with it, or on SIGTERM."""
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    loop.add_signal_handler(signal.SIGTERM, lines.feed_eof)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        yield line


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def main(role: str, arguments: Sequence[str]) -> None:
    """Play a role until it ends."""
    asyncio.run(worker(*arguments) if role == "worker" else router(*arguments))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
