"""A worker that is told a model's name: it gets the files, and serves the model until stopped.

Usage: model_worker.py NAME [SOURCE]; SOURCE is a folder or a URL, unless the catalog says it.
"""

import asyncio
import os
import signal
import sys

import discovery

URL = os.environ.get("DISCOVERY_URL", "zmq://127.0.0.1:4710")
PLACE = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}


async def main(name: str, source: str | None = None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with discovery.connect(URL) as d:
        address = f"10.0.0.7:9000/{d.instance_id:x}/generate"
        endpoint = discovery.EndpointSpec(**PLACE, transport={"tcp": address}, device_type="cuda")
        async with await discovery.ensure_model(d, name, endpoint=endpoint, source=source) as model:
            print(f"{len(model.manifest.files)} files in {model.path}", flush=True)
            for instance in model.instances:
                print("registered", instance.id, flush=True)
            await stop.wait()


try:
    asyncio.run(main(*sys.argv[1:]))
except discovery.DiscoveryError as error:
    sys.exit(f"worker: {error}")
