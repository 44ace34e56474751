"""Registers an endpoint and a model and stays until SIGTERM.

usage: worker.py URL TTL_S NUMBER [INSTANCE_ID]
"""

import asyncio
import json
import signal
import sys

import discovery


async def main(url: str, ttl_s: float, number: int, instance_id: int | None = None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    place = {"namespace": "fleet", "component": "c", "endpoint": f"e{number % 4}"}
    async with discovery.connect(url, lease_ttl_s=ttl_s, instance_id=instance_id) as d:
        endpoint = discovery.EndpointSpec(**place, transport={"tcp": f"127.0.0.1:{number}/x"})
        model = discovery.ModelSpec(**place, card={"display_name": f"model{number % 4}"})
        instances = await d.register_all([endpoint, model])
        print(json.dumps({"ids": [str(instance.id) for instance in instances]}), flush=True)
        await stop.wait()


asyncio.run(main(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:])))
