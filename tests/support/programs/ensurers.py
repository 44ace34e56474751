"""Many workers that start at once for one model, forked from one that has imported everything.

usage: ensurers.py COUNT URL; stdin: a cache root, which COUNT processes use. They connect, wait for
each other, and serve the model `m` until all do. Says how many files each has copied, and how many
models are registered then.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys

import discovery
from discovery.models import ArtifactCache, ensure_model
from discovery.models.artifacts import Progress

_PATIENCE_S = 60.0

_fork = multiprocessing.get_context("fork")


def start(root: str, count: int, url: str) -> dict[str, object]:
    begin, ready, end = (_fork.Barrier(count) for _ in range(3))
    answers = _fork.SimpleQueue()

    async def serve() -> None:
        progress = Progress()
        async with discovery.connect(url, request_timeout_s=_PATIENCE_S) as d:
            begin.wait(_PATIENCE_S)
            endpoint = discovery.EndpointSpec(
                namespace="n", component="c", endpoint="e", transport={"tcp": "10.0.0.7:1"}
            )
            model = await ensure_model(
                d, "m", endpoint=endpoint, cache=ArtifactCache(root), progress=progress
            )
            async with model:
                await asyncio.to_thread(ready.wait, _PATIENCE_S)
                instances = await d.list(discovery.ModelQuery())
                answers.put((progress.files_done, len(instances)))
                await asyncio.to_thread(end.wait, _PATIENCE_S)

    def run() -> None:
        asyncio.run(serve())

    workers = [_fork.Process(target=run) for _ in range(count)]
    for worker in workers:
        worker.start()
    said = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    copied, seen = zip(*said, strict=True)
    return {"copied": sorted(copied), "seen": sorted(set(seen))}


count, url = sys.argv[1:]
for line in sys.stdin:
    print(json.dumps(start(line.strip(), int(count), url)), flush=True)
