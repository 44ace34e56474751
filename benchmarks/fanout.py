"""One change to 1, 100 and 1,000 streams, each over a connection of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import raw
from figures import Figure
from harness import child, daemon, in_child, quantile
from load import pace
from routers import hearers, watch
from visible import delays_ms
from workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness import DaemonProcess
    from routers import Hearers
    from scale import Scale

_WORKERS = 100
_SECONDS = 4
_CHANGES_PER_S = 250
_DELIVERIES_PER_S = 5_000
_AIM_P99_MS = {100: 25}
_FEW = 10  # streams, whose memory is lost in the daemon's own


@dataclass
class _Rounds:
    """What the rounds gave, for one number of streams."""

    streams: int
    per_s: float
    ours: list[list[float]] = field(default_factory=list)
    theirs: list[list[float]] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    raw_cpu_us: list[float] = field(default_factory=list)
    rest_ms: list[float] = field(default_factory=list)
    stream_bytes: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        def figure(name: str, unit: str, rounds: Sequence[float], **more: object) -> Figure:
            return Figure(
                name=name, unit=unit, rounds=rounds, at=self.streams, of="streams", **more
            )

        def at(q: float, rounds: list[list[float]]) -> list[float]:
            return [quantile(delays, q) for delays in rounds]

        aim = _AIM_P99_MS.get(self.streams)
        theirs = self.theirs
        return [
            figure("change → a stream, p50", "ms", at(0.5, self.ours), ceiling=at(0.5, theirs)),
            figure(
                "change → a stream, p99",
                "ms",
                at(0.99, self.ours),
                ceiling=at(0.99, theirs),
                aim=aim,
            ),
            figure("a change, daemon CPU", "us", self.cpu_us, ceiling=self.raw_cpu_us),
            figure("at rest, daemon CPU a second", "ms", self.rest_ms),
            *(
                [figure("a stream, daemon memory", "B", self.stream_bytes)]
                if self.stream_bytes
                else []
            ),
        ]


def fanout(scale: Scale) -> list[Figure]:
    """Return delays to the streams of routers in four processes, and what each stream costs."""
    return [figure for streams in scale.streams for figure in _to(streams, scale).figures()]


def _to(streams: int, scale: Scale) -> _Rounds:
    rounds = _Rounds(streams, min(_CHANGES_PER_S, _DELIVERIES_PER_S / streams))
    count = max(1, scale.of(int(rounds.per_s * _SECONDS)))
    workers = Workers()
    with daemon() as d:
        workers.come(d.port, _WORKERS)
        before = d.memory_bytes()
        with hearers(watch, d.url, streams) as routers:
            routers.synced()
            if streams > _FEW:
                rounds.stream_bytes.append((d.memory_bytes() - before) / streams)
            for _ in range(scale.rounds):
                _round(rounds, d, routers, workers, count)
    requests = workers.changes(count)
    for _ in range(scale.rounds):
        with child(raw.hub, streams) as hub:
            to, events = hub.recv()
            with hearers(raw.hear, events, streams) as routers:
                hub.recv()
                routers.expect(count)
                before_s = raw.used_s(to)
                sent = in_child(pace, to, requests, rounds.per_s)
                rounds.theirs.append(delays_ms(dict(enumerate(sent)), routers.arrivals()))
                rounds.raw_cpu_us.append((raw.used_s(to) - before_s) / count * 1e6)
    return rounds


def _round(
    rounds: _Rounds, d: DaemonProcess, routers: Hearers, workers: Workers, count: int
) -> None:
    rest_s = d.cpu_s()
    time.sleep(_SECONDS)
    rest_s = (d.cpu_s() - rest_s) / _SECONDS
    routers.expect(count)
    first, requests = workers.changed + 1, workers.changes(count)
    began, cpu_s = time.monotonic(), d.cpu_s()
    sent = in_child(pace, d.port, requests, rounds.per_s)
    arrivals = routers.arrivals()
    used_s = d.cpu_s() - cpu_s - rest_s * (time.monotonic() - began)
    rounds.ours.append(delays_ms(dict(enumerate(sent, first)), arrivals))
    rounds.cpu_us.append(used_s / count * 1e6)
    rounds.rest_ms.append(rest_s * 1e3)
