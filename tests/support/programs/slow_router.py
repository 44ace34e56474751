"""Watches everything, slowly: usage: slow_router.py URL block|idle; stdin: "go", then "view".

`block` iterates, and blocks its loop for ten seconds when told to go; `idle` never iterates.
"""

import asyncio
import hashlib
import json
import resource
import sys
import time

import discovery


async def main(url: str, how: str) -> None:
    async with discovery.connect(url) as d:
        async with d.watch(discovery.EndpointQuery(namespace="churn")) as stream:
            await stream.synced()
            iterating = asyncio.create_task(follow(stream)) if how == "block" else None
            say(ready=len(stream.instances))
            while words := (await asyncio.to_thread(sys.stdin.readline)).split():
                if words[0] == "go":
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                    say(going=True)
                    if how == "block":
                        time.sleep(10)
                else:
                    async with asyncio.timeout(20):
                        await stream.reached(int(words[1]))
                    if iterating:
                        while stream.revision < int(words[1]):
                            await asyncio.sleep(0.05)
                    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                    say(
                        count=len(stream.instances),
                        digest=digest(stream.instances),
                        grown_kib=grown,
                    )


MINE = {}


async def follow(stream: discovery.WatchStream) -> None:
    async for event in stream:
        match event:
            case discovery.Added():
                MINE[event.instance.id] = event.instance
            case discovery.Removed():
                del MINE[event.id]


def digest(view) -> str:
    lines = sorted(f"{identity} {instance.transport['tcp']}" for identity, instance in view.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


asyncio.run(main(*sys.argv[1:]))
