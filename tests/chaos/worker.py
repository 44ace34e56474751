"""A worker that changes its mind all the time, and writes down what it believes.

usage: python -m tests.chaos.worker URL CODEC TTL_S INSTANCE_ID SEED LOG; stdin: "calm".
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import discovery
from discovery.clock import monotonic_s
from discovery.errors import (
    DeadlineExceededError,
    ModelConflictError,
    UnavailableError,
)
from discovery.keys import format_key
from discovery.spec import EndpointSpec
from tests.chaos.proxied import run
from tests.chaos.recording import Did, Log
from tests.simulation import wishes
from tests.support.keystate import Line, Moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery import Discovery
    from discovery.spec import Spec

PAUSE_S = (0.05, 0.8)
_PLACE = {"namespace": "n", "component": "a"}


class Blind:
    """The world as `wishes` need it, of somebody who does not look before it wishes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.truth = self
        self.line = Line([0], [Moment(0.0, {}, {})])

    def place(self, rng: random.Random) -> tuple[str, str, str]:
        return ("n", rng.choice("ab"), rng.choice("cd"))

    def count(self, what: str) -> None:
        self.counts[what] += 1


class Worker:
    """What is wished for, and what is registered as far as it was told."""

    def __init__(self, d: Discovery, seed: str, log: Log) -> None:
        self.owned: dict[str, Spec] = {}
        self._d, self._log = d, log
        self._rng, self._world = random.Random(seed), Blind()
        self._failed = 0
        self._stays = EndpointSpec(**_PLACE, endpoint="stays", transport={"tcp": "h:1"})

    async def begin(self) -> None:
        """Register what stays until the end: if that goes, somebody has done wrong."""
        await self._register([self._stays])

    async def end(self) -> None:
        """Register one thing more, when all is calm: it must be possible."""
        await self._register([replace(self._stays, endpoint="last")])
        self.note_failures()

    async def act(self) -> None:
        """Register something, again or anew, or remove it; but never what is to stay."""
        rng, owned = self._rng, {k: spec for k, spec in self.owned.items() if spec != self._stays}
        kind = rng.random()
        if kind < 0.5 or not owned:
            await self._register(wishes.unit(self._world, rng, self._d.instance_id))
        elif kind < 0.7:
            spec = owned[rng.choice(sorted(owned))]
            await self._register([wishes.again(self._world, rng, self._d.instance_id, spec)])
        else:
            await self._remove(rng.choice(sorted(owned)))
        self.note_failures()
        await asyncio.sleep(rng.uniform(*PAUSE_S))

    async def _register(self, specs: Sequence[Spec]) -> None:
        asked_at = monotonic_s()
        keys = [format_key(spec.id(self._d.instance_id)) for spec in specs]
        self._note("registers", keys)
        try:
            await self._d.register_all(specs)
        except ModelConflictError as error:
            said = {
                "text": str(error),
                "endpoint": error.endpoint,
                "incumbent": error.incumbent,
                "count": error.incumbent_count,
                "asked_at": asked_at,
            }
            self._note("is refused", keys, said)
        except (UnavailableError, DeadlineExceededError) as error:
            self._note("gives up", keys, {"why": str(error)})
            for key in sorted(self.owned.keys() & set(keys)):
                await self._remove(key)  # whether the old or the new one is there is not known
        else:
            self.owned |= dict(zip(keys, specs, strict=True))
            self._note("has", keys)

    async def _remove(self, key: str) -> None:
        spec = self.owned.pop(key)
        self._note("removes", [key])
        # If nobody answers now, it is taken back as soon as somebody does.
        with suppress(UnavailableError, DeadlineExceededError):
            await self._d.unregister(spec.id(self._d.instance_id))

    def note_failures(self) -> None:
        """Own no more what could not be put back."""
        failures = self._d.failures
        for failure in failures[self._failed :]:
            keys = [format_key(spec.id(self._d.instance_id)) for spec in failure.specs]
            is_conflict = isinstance(failure.error, ModelConflictError)
            self._note("loses", keys, {"why": str(failure.error), "is_conflict": is_conflict})
            for key in keys:
                self.owned.pop(key, None)
        self._failed = len(failures)

    def _note(
        self, what: str, keys: Sequence[str], detail: dict[str, object] | None = None
    ) -> None:
        self._log.write(Did(monotonic_s(), what, keys, detail))


async def main(url: str, codec: str, ttl_s: str, instance_id: str, seed: str, log: str) -> None:
    calm = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    way_in = discovery.connect(
        url,
        codec=codec,
        lease_ttl_s=float(ttl_s),
        instance_id=int(instance_id),
        connect_timeout_s=60.0,
        request_timeout_s=20.0,
    )
    async with way_in as d:
        worker = Worker(d, seed, Log(Path(log)))
        await worker.begin()
        while not calm.done():
            await worker.act()
        await worker.end()
        while True:
            worker.note_failures()
            print(json.dumps({"owned": sorted(worker.owned)}), flush=True)
            if not await asyncio.to_thread(sys.stdin.readline):
                sys.exit()


if __name__ == "__main__":
    run(main)
