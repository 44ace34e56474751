"""A router: follows every kind of record, and writes down all that its followers say.

usage: python -m tests.chaos.router URL CODEC LOG; stdin: "look".
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import discovery
from discovery import EndpointQuery, EventChannelQuery, ModelQuery, Removed
from discovery.clock import monotonic_s
from discovery.followed import Sink
from tests.chaos.proxied import run
from tests.chaos.recording import Log, Wrong, seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery import Discovery, Event, Instance, InstanceId, WatchStream
    from discovery.followed import Status
    from discovery.query import Query
    from discovery.view import Shown

QUERIES: Sequence[Query] = (
    EndpointQuery(),
    ModelQuery(),
    ModelQuery(namespace="n", component="a", endpoint="c"),
    EventChannelQuery(namespace="n"),
)


class Ear:
    """One stream, and the follower behind it."""

    def __init__(self, d: Discovery, query: Query, log: Log) -> None:
        self.stream: WatchStream = d.watch(query)
        self._upstreams, self._log, self._query = d._here.upstreams, log, query
        self._has: dict[InstanceId, Instance] = {}

    def note(self, shown: Sequence[Shown], _: Status | None = None) -> None:
        """Write down what the follower says. On the I/O thread."""
        upstream = self._upstreams._by_scope[self._query.scope]
        self._log.write(seen(upstream.follower, shown))

    def listen(self) -> None:
        """Hear the follower from its first word on. On the I/O thread."""
        self._upstreams._by_scope.pop(self._query.scope, None)
        sink = Sink(lambda *_: None)
        self._upstreams.attach(self._query.scope, sink)
        sink.push = self.note

    async def follow(self) -> None:
        """Read the stream, and see that what it tells adds up to what it shows."""
        async for event in self.stream:
            self._hear(event)
            if not self.stream._undelivered and self._has != self.stream.instances:
                self._blame("torn", "what was told does not add up to what is shown")

    def _hear(self, event: Event) -> None:
        if isinstance(event, Removed):
            if self._has.pop(event.id, None) is None:
                self._blame("not unique", f"the reader never had {event.id}")
            return
        instance = event.instance
        before = self._has.get(instance.id)
        if before == instance or event.is_update != (before is not None):
            self._blame("not unique", f"the reader had {instance.id} already")
        self._has[instance.id] = instance

    def _blame(self, kind: str, text: str) -> None:
        self._log.write(Wrong(monotonic_s(), kind, text))

    def says(self) -> dict[str, object]:
        """What its stream shows, and how far that is proven."""
        stream = self.stream
        return {
            "scope": list(self._query.scope),
            "state": stream.state,
            "staleness_s": stream.staleness_s,
            "has": {str(i): repr(one) for i, one in self._has.items()}
            == {str(i): repr(one) for i, one in stream.instances.items()},
            "ids": sorted(str(identity) for identity in stream.instances),
        }


async def main(url: str, codec: str, log: str) -> None:
    way_in = discovery.connect(url, codec=codec, connect_timeout_s=60.0)
    async with way_in as d, asyncio.TaskGroup() as group:
        ears = [Ear(d, query, Log(Path(log))) for query in QUERIES]
        for ear in ears:
            d._io.call(ear.listen)
            await ear.stream.__aenter__()
            group.create_task(ear.follow())
        while await asyncio.to_thread(sys.stdin.readline):
            for ear in ears:
                d._io.call(ear.note, ())
            print(json.dumps([ear.says() for ear in ears]), flush=True)
        sys.exit()


if __name__ == "__main__":
    run(main)
