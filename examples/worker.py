"""A worker: serves one model at prod/vllm/generate until stopped. Usage: worker.py MODEL_FOLDER."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import discovery

URL = "zmq://127.0.0.1:4710"
PLACE = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}


def load_card(folder: Path) -> dict:
    card = json.loads((folder / "card.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    return card | {"context_length": config["max_position_embeddings"]}


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with discovery.connect(URL) as d:
        address = f"10.0.0.7:9000/{d.instance_id:x}/generate"
        endpoint = discovery.EndpointSpec(**PLACE, transport={"tcp": address}, device_type="cuda")
        model = discovery.ModelSpec(**PLACE, card=load_card(Path(sys.argv[1])))
        for instance in await d.register_all([endpoint, model]):
            print("registered", instance.id, flush=True)
        await stop.wait()


try:
    asyncio.run(main())
except discovery.DiscoveryError as error:
    sys.exit(f"worker: {error}")
