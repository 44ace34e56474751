"""Claims a download, and holds it until it is killed. usage: claimer.py URL TTL_S NAME"""

import asyncio
import json
import sys

import discovery


async def main(url: str, ttl_s: float, name: str) -> None:
    async with discovery.connect(url, lease_ttl_s=ttl_s) as d:
        answer = await d.claims.try_claim(name, "File")
        print(json.dumps({"answer": str(answer), "owner": d.instance_id}), flush=True)
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
