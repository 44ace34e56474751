"""Says every event of the fleet's endpoints and models, and its view when asked.

usage: router.py URL; stdin: "view".
"""

import asyncio
import json
import sys

import discovery


async def main(url: str) -> None:
    async with discovery.connect(url) as d:
        queries = [discovery.EndpointQuery(namespace="fleet"), discovery.ModelQuery()]
        async with d.watch(queries[0]) as endpoints, d.watch(queries[1]) as models:
            await endpoints.synced()
            await models.synced()
            say(synced=True)
            async with asyncio.TaskGroup() as group:
                group.create_task(follow(endpoints))
                group.create_task(follow(models))
                group.create_task(answer(endpoints, models))


async def follow(stream: discovery.WatchStream) -> None:
    async for event in stream:
        match event:
            case discovery.Added():
                say(event="added", id=str(event.instance.id), update=event.is_update)
            case discovery.Removed():
                say(event="removed", id=str(event.id), cause=event.cause)


async def answer(*streams: discovery.WatchStream) -> None:
    while await asyncio.to_thread(sys.stdin.readline):
        view = sorted(str(identity) for stream in streams for identity in stream.instances)
        say(view=view, states=[stream.state for stream in streams])
    sys.exit()


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


asyncio.run(main(sys.argv[1]))
