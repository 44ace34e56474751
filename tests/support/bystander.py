"""A daemon, and a client of it that must notice nothing, whatever somebody else does there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import discovery
from discovery import Added, Cause, ConnectionState, Event, Removed, StreamState
from tests.support.places import until
from tests.support.processes import DISCOVERYD, PATIENCE_S, free_ports
from tests.support.raw_client import raw_client

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

BYSTANDER_ID = 0xB157
TTL_S = 5.0  # short, so that a keep-alive that fails is soon a registration that is gone
BUSY_S = 1.0  # a beat's interval
UP = ["serving http", "listening", "serving"]
"""What a daemon logs that nobody tells to stop."""

MINE = discovery.EndpointQuery(namespace="bystander")


class Bystander:
    """A client with a registration and a stream, on a loop and a thread of its own."""

    def __init__(self, url: str, daemon: int) -> None:
        self._url, self._daemon = url, daemon
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bystander")

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def notices_nothing(self) -> None:
        """Fail if anything has happened to it since the last look, or if it cannot register.

        After a failure it begins anew, so that the next look is about what comes after.
        """
        try:
            self._run(self._notices_nothing())
        except BaseException:
            self._run(self._end())
            self._run(self._begin())
            raise

    def hears_beats(self, count: int) -> None:
        """Wait until the daemon has proven its view so many times more."""
        self._run(self._hears_beats(count))

    def _run(self, coro: Coroutine[Any, Any, None]) -> None:
        running = asyncio.run_coroutine_threadsafe(coro, self._loop)
        try:
            running.result(PATIENCE_S)
        finally:
            running.cancel()

    async def _begin(self) -> None:
        self._up = asyncio.Event()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._states: set[StreamState] = set()
        self._looks = 0
        self._life = self._loop.create_task(self._live())
        up = self._loop.create_task(self._up.wait())
        await asyncio.wait([up, self._life], return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            self._life.result()

    async def _end(self) -> None:
        self._life.cancel()
        await asyncio.wait([self._life])

    async def _live(self) -> None:
        way_in = discovery.connect(
            self._url,
            instance_id=BYSTANDER_ID,
            lease_ttl_s=TTL_S,
            connect_timeout_s=PATIENCE_S,
            request_timeout_s=PATIENCE_S,
        )
        async with way_in as self._d, self._d.watch(MINE) as self._stream:
            await self._stream.synced()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._note_events())
                group.create_task(self._note_states())
                await self._register("first")
                self._before, self._silences = self._troubles(), self._silent()
                self._waited_s = self._kept_waiting()
                self._up.set()

    async def _note_events(self) -> None:
        async for event in self._stream:
            self._events.put_nowait(event)

    async def _note_states(self) -> None:
        while True:
            await self._stream.changed()
            self._states.add(self._stream.state)

    def _troubles(self) -> tuple[object, ...]:
        here = self._d._here
        follower = here.upstreams._by_scope[MINE.scope].follower.counters
        losses = (follower.gaps, follower.corruptions, follower.overflows)
        return (losses, here.upstreams.rejected, here.session.losses, here.session.failures)

    def _silent(self) -> tuple[int, ...]:
        here = self._d._here
        follower = here.upstreams._by_scope[MINE.scope].follower.counters
        return (here.connection.reconnects, follower.snapshots)

    async def _notices_nothing(self) -> None:
        assert self._events.empty(), self._events.get_nowait()
        self._looks += 1
        added = await self._register(f"look{self._looks}")
        await self._d.unregister(added)
        gone = await self._next()
        assert isinstance(gone, Removed)
        assert (gone.id, gone.cause) == (added.id, Cause.UNREGISTERED)
        assert [one.endpoint for one in self._stream.instances.values()] == ["first"]
        assert self._troubles() == self._before
        self._was_served_all_the_time()
        assert self._d.state is ConnectionState.CONNECTED
        assert f"{BYSTANDER_ID:x}" in [lease["id"] for lease in await self._d.leases()]

    def _was_served_all_the_time(self) -> None:
        """Fail if the daemon was silent for seconds, unless nobody got a core of the machine.

        Silence makes a stream stale, and its client look for another daemon.
        """
        states, self._states = self._states, set()
        before, self._silences = self._silences, self._silent()
        waited_s, self._waited_s = self._waited_s, self._kept_waiting()
        if self._waited_s - waited_s < BUSY_S:
            assert states <= {StreamState.LIVE}, states
            assert self._silences == before

    def _kept_waiting(self) -> float:
        """Return for how many seconds the daemon and this process could run and had no core."""
        threads = [
            thread
            for pid in (self._daemon, os.getpid())
            for thread in Path(f"/proc/{pid}/task").iterdir()
        ]
        return sum(map(_waited_ns, threads)) / 1e9

    async def _hears_beats(self, count: int) -> None:
        for _ in range(count):
            before = self._stream._status.proven_at
            await until(lambda: self._stream._status.proven_at != before)  # noqa: B023 - awaited

    async def _register(self, name: str) -> discovery.EndpointInstance:
        spec = discovery.EndpointSpec(
            namespace="bystander", component="c", endpoint=name, transport={"tcp": "h:1"}
        )
        instance = await self._d.register(spec)
        event = await self._next()
        assert isinstance(event, Added)
        assert event.instance == instance
        return instance

    async def _next(self) -> Event:
        async with asyncio.timeout(PATIENCE_S):
            return await self._events.get()


@dataclass(frozen=True)
class Door:
    """A daemon with a bystander, as somebody who comes with something bad finds it."""

    port: int
    http: int
    process: subprocess.Popen[bytes]
    log: Path
    bystander: Bystander

    @property
    def url(self) -> str:
        return f"zmq://127.0.0.1:{self.port}"

    @property
    def events_port(self) -> int:
        return self.port + 1

    def counter(self, name: str) -> int:
        """One number of `/metrics`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        (value,) = [line.split()[1] for line in lines if line.startswith(f"discoveryd_{name} ")]
        return int(float(value))

    def memory_kib(self) -> int:
        """What the daemon holds in memory now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("VmRSS:")]
        return int(line.split()[1])

    def logged(self) -> list[dict]:
        """What the daemon has logged at its default level."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def refuses(
        self, frame: bytes, said: str, code: str = "invalid_argument", kind: str | None = None
    ) -> str:
        """Send a request that is wrong: it must be told in words, counted, and have done nothing.

        Args:
            frame: the request.
            said: pattern of what the refusal must say.
            code: which refusal it must be.
            kind: its type, where that is not the code.
        """
        before = self.counter("refusals_total")
        with raw_client(self.port) as client:
            error = client.refused(frame)
            assert client.ask("status")["records"] == {"endpoints": 1}, "only the bystander's"
        assert self.counter("refusals_total") == before + 1
        assert (error["code"], error["type"]) == (code, kind or code)
        assert re.search(said, error["message"]), error["message"]
        self.is_unmoved()
        return error["message"]

    def is_unmoved(self) -> None:
        """Fail unless the daemon answers and the bystander has noticed nothing."""
        assert self.process.poll() is None, self.log.read_text()
        with raw_client(self.port) as client:
            assert client.ask("status")["store"] == "memory://"
        self.bystander.notices_nothing()


@contextmanager
def door(folder: Path, files: int | None = None) -> Iterator[Door]:
    """Run discoveryd with its defaults at free ports, and a bystander, while the block runs.

    `files` is how many files and connections the daemon may have open.
    """
    port, http, log = free_ports(), free_ports(), folder / "discoveryd.log"
    flags = ("--listen", f"zmq://127.0.0.1:{port}", "--http", f"127.0.0.1:{http}")
    limit = () if files is None else ("prlimit", f"--nofile={files}")
    with (
        log.open("wb") as stderr,
        subprocess.Popen([*limit, *DISCOVERYD, *flags], stderr=stderr) as process,
    ):
        try:
            _wait_until_up(http)
            with Bystander(f"zmq://127.0.0.1:{port}", process.pid) as bystander:
                yield Door(port, http, process, log, bystander)
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, log.read_text()


def _waited_ns(thread: Path) -> int:
    try:
        return int(
            (thread / "schedstat").read_text().split()[1]
        )  # its second: time on a run queue (sched-stats.rst)
    except (FileNotFoundError, ProcessLookupError):  # ended since
        return 0


def _wait_until_up(http: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz").close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the daemon does not come up")
