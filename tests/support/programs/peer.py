"""A process of the peer system, on its own runtime, that does what it is told.

Its environment says where it looks and listens: `tests.support.peer`. usage: peer.py; stdin:

    serve PATH                    serve an endpoint, "ns.comp.ep"
    model PATH NAME SOURCE        register a model
    adapter PATH NAME SOURCE      register an adapter of the model of that source
    forget PATH                   take the model back
    look PATH                     say now and after each change which instances are seen, and where
    publish PATH                  publish forward pass metrics, one a second
    announce PATH                 publish KV events: a channel and, beside it, an event source
    hear PATH                     say each payload of forward pass metrics that is heard
    shutdown                      shut its runtime down
"""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable

from dynamo.llm import (
    FpmDirectPublisher,
    FpmEventSubscriber,
    KvEventPublisher,
    ModelInput,
    ModelType,
    WorkerType,
    register_model,
    unregister_model,
)
from dynamo.runtime import DistributedRuntime, Endpoint

POLL_S = 0.005


async def main() -> None:
    runtime = DistributedRuntime(asyncio.get_running_loop(), "etcd", "tcp")
    say(ready=runtime.endpoint("any.any.any").connection_id())
    async with asyncio.TaskGroup() as group:
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            match words:
                case ["shutdown"]:
                    runtime.shutdown()
                case ["serve" | "look" as command, path]:
                    group.create_task(KEPT_UP[command](runtime.endpoint(path)))
                case [command, path, *names]:
                    await DONE[command](runtime.endpoint(path), *names)
        sys.exit()


async def serve(endpoint: Endpoint) -> None:
    await endpoint.serve_endpoint(echo)


async def echo(request: object) -> object:
    yield request


async def look(endpoint: Endpoint) -> None:
    client, before = await endpoint.client(), None
    while True:
        seen = {str(one.instance_id): one.transport.address for one in client.instances()}
        if seen != before:
            say(sees=seen)
            before = seen
        await asyncio.sleep(POLL_S)


async def model(endpoint: Endpoint, name: str, source: str) -> None:
    await say_outcome(register(endpoint, source, name))


async def adapter(endpoint: Endpoint, name: str, source: str) -> None:
    await say_outcome(register(endpoint, source, None, lora_name=name, base_model_path=source))


async def forget(endpoint: Endpoint) -> None:
    await say_outcome(unregister_model(endpoint))


async def publish(endpoint: Endpoint) -> None:
    PUBLISHERS.append(FpmDirectPublisher(endpoint, "w", 1))


async def announce(endpoint: Endpoint) -> None:
    PUBLISHERS.append(KvEventPublisher(endpoint, kv_block_size=16))


async def hear(endpoint: Endpoint) -> None:
    subscriber = FpmEventSubscriber(endpoint)
    threading.Thread(target=hear_all, args=(subscriber,), daemon=True).start()


def hear_all(subscriber: FpmEventSubscriber) -> None:
    while (payload := subscriber.recv()) is not None:
        say(heard=payload.hex())


async def register(endpoint: Endpoint, source: str, name: str | None, **lora: str) -> None:
    await register_model(
        ModelInput.Text,
        ModelType.Chat,
        endpoint,
        source,
        name,
        worker_type=WorkerType.Aggregated,
        skip_model_assets=True,
        **lora,
    )


async def say_outcome(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever the peer raises is what is asked for
        say(error=str(error))
    else:
        say(error=None)


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


KEPT_UP = {"serve": serve, "look": look}
DONE = {
    "model": model,
    "adapter": adapter,
    "forget": forget,
    "publish": publish,
    "announce": announce,
    "hear": hear,
}
PUBLISHERS: list[object] = []  # they live as long as they are referred to

asyncio.run(main())
