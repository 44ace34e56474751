"""Connects, forks, and uses the connection on both sides. usage: forking.py URL"""

import asyncio
import json
import os
import sys

import discovery
from discovery import EndpointQuery, EndpointSpec, UnavailableError

QUERY = EndpointQuery(namespace="prod")


def say(**what: object) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def spec(name: str) -> EndpointSpec:
    return EndpointSpec(
        namespace="prod", component="vllm", endpoint=name, transport={"tcp": "h:1/x"}
    )


async def in_child(url: str, d: discovery.Discovery) -> None:
    """What the parent opened says so at once; what is opened here works."""
    for use in (lambda: d.register(spec("no")), lambda: d.list(QUERY), d.status):
        try:
            await use()
        except UnavailableError as error:
            say(child=str(error))
    try:
        d.watch(QUERY)
    except UnavailableError as error:
        say(child=str(error))
    async with discovery.connect(url) as own, own.watch(QUERY) as stream:
        await d.__aexit__(None, None, None)
        await own.register(spec("child"))
        await stream.reached((await own.list(QUERY)).revision)
        say(child=len(stream.instances))


async def in_parent(url: str) -> None:
    async with discovery.connect(url) as d, d.watch(QUERY) as stream:
        await d.register(spec("parent"))
        await stream.synced()
        child = os.fork()
        if not child:
            try:
                asyncio.run(in_child(url, d))
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        await d.register(spec("parent2"))
        say(parent=len(await d.list(QUERY)))


asyncio.run(in_parent(sys.argv[1]))
