"""A worker that ensures a model and says so. usage: puller.py URL TTL_S ROOT

Says its instance id when it begins, and how many files it has copied at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys

import discovery
from discovery.models import ArtifactCache, ensure_model
from discovery.models.artifacts import Progress

url, ttl_s, root = sys.argv[1:]


async def main() -> None:
    progress = Progress()
    async with discovery.connect(url, lease_ttl_s=float(ttl_s)) as d:
        print(json.dumps({"id": d.instance_id}), flush=True)
        async with await ensure_model(d, "m", cache=ArtifactCache(root), progress=progress):
            print(json.dumps({"copied": progress.files_done}), flush=True)


asyncio.run(main())
