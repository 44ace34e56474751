"""Many processes that race for claims, forked from one that has imported everything.

usage: claimers.py COUNT URL…; stdin: "try_claim NAME" or "try_reset_error NAME". Each line forks
COUNT processes, spread over the URLs, which connect, wait for each other, ask at once and hold what
they got until all were answered. Says what each was answered, as text.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys

import discovery

_PATIENCE_S = 60.0

_fork = multiprocessing.get_context("fork")


def race(op: str, name: str, count: int, urls: list[str]) -> list[str]:
    start, end = _fork.Barrier(count), _fork.Barrier(count)
    answers = _fork.SimpleQueue()

    async def ask(url: str) -> None:
        async with discovery.connect(url, request_timeout_s=_PATIENCE_S) as d:
            start.wait(_PATIENCE_S)
            answers.put(str(await getattr(d.claims, op)(name, "File")))
            await asyncio.to_thread(end.wait, _PATIENCE_S)

    def run(url: str) -> None:
        asyncio.run(ask(url))

    racers = [_fork.Process(target=run, args=(urls[n % len(urls)],)) for n in range(count)]
    for racer in racers:
        racer.start()
    said = [answers.get() for _ in racers]
    for racer in racers:
        racer.join()
    return said


count, *urls = sys.argv[1:]
for line in sys.stdin:
    op, name = line.split()
    print(json.dumps({"answers": race(op, name, int(count), urls)}), flush=True)
