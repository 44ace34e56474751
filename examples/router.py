"""A router: shows which worker serves which model, now and after every change, until Ctrl-C."""

import asyncio
import contextlib

import discovery

URL = "zmq://127.0.0.1:4710"


async def main() -> None:
    async with (
        discovery.connect(URL) as d,
        d.watch(discovery.ModelQuery(namespace="prod")) as models,
    ):
        await models.synced()
        print(f"synced: {len(models.instances)} models", flush=True)
        async for event in models:
            match event:
                case discovery.Added(instance=model):
                    context = model.card["context_length"]
                    print("+", model.id, model.display_name, f"context={context}", flush=True)
                case discovery.Removed(id=gone, cause=cause):
                    print("-", gone, cause, flush=True)


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
