"""The daemon with its registry in etcd, and beside it the peer system on another such etcd."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from statistics import median
from typing import TYPE_CHECKING

import peer
from figures import Figure
from harness import daemon, etcd, in_child, quantile
from load import load
from routers import hearers, sync_ms, watch
from visible import delays_ms, work
from workers import Workers, grant, register

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scale import Scale

    Round = Mapping[tuple[str, int | None], float]

_VISIBLE = 300
_ANSWER = "register → answer, p50"
_ANSWER_EMBEDDED = "register → answer, without a daemon, p50"
_RATES = {"one by one": (1, 500), "1,000 in flight": (1_000, 5_000)}
_VIEWS = (1_000, 10_000)
_AIM_MS = {10_000: 500}
_MORE = 1.2
"""Of the peer's registrations with 1,000 in flight is what is aimed at."""


def on_etcd(scale: Scale) -> list[Figure]:
    """Registrations, what routers see of them, and first views: ours and the peer's in turn."""
    ours: dict[tuple[str, int | None], list[float]] = defaultdict(list)
    theirs: dict[tuple[str, int | None], list[float]] = defaultdict(list)
    for _ in range(scale.rounds):
        for rounds, measure in ((ours, _ours), (theirs, _the_peers)):
            with etcd() as url:
                for what, value in measure(scale, url).items():
                    rounds[what].append(value)
    return [_figure(what, ours[what], theirs[what]) for what in ours]


def _figure(what: tuple[str, int | None], ours: list[float], theirs: list[float]) -> Figure:
    name, size = what
    aim: float | None = None
    if name == "register → event, p50":
        aim = median(theirs)
    elif name == "registrations, 1,000 in flight":
        aim = _MORE * median(theirs)
    elif size:
        aim = _AIM_MS.get(size)
    return Figure(
        name=f"on etcd: {name}",
        unit="/s" if name.startswith("registrations") else "ms",
        rounds=ours,
        at=size,
        of="instances" if size else "",
        aim=aim,
        ceiling=theirs,
        beside="the peer",
    )


def _latencies(delays: list[float], calls: list[float]) -> Round:
    return {
        ("register → event, p50", None): quantile(delays, 0.5),
        ("register → event, p99", None): quantile(delays, 0.99),
        (_ANSWER, None): quantile(calls, 0.5),
    }


def _took_ms(sent: Mapping[int, int], answered: Sequence[int]) -> list[float]:
    return [(b - a) / 1e6 for a, b in zip(sent.values(), answered, strict=True)]


def _ours(scale: Scale, url: str) -> Round:
    parts = count()

    def registry() -> tuple[str, ...]:
        """A registry of its own for each part."""
        return "--store", f"{url}?prefix={next(parts)}/"

    with daemon(*registry()) as d, hearers(watch, d.url, 1) as router:
        router.synced()
        changes = scale.of(_VISIBLE)
        router.expect(changes)
        sent, answered = in_child(work, d.url, changes)
        delays = delays_ms(sent, router.arrivals())
        calls = _took_ms(sent, answered)
    got = dict(_latencies(delays, calls))
    calls = _took_ms(*in_child(work, f"{url}?prefix={next(parts)}/", changes))
    got[_ANSWER_EMBEDDED, None] = quantile(calls, 0.5)
    for name, (in_flight, total) in _RATES.items():
        with daemon(*registry()) as d:
            first = 1_000_000 * in_flight  # leases belong to all of etcd
            numbers = range(first, first + scale.of(total))
            in_child(load, d.port, [grant(n) for n in numbers])
            requests = [register(n) for n in numbers]
            took_s = in_child(load, d.port, requests, min(in_flight, len(requests)))
            got[f"registrations, {name}", None] = len(requests) / took_s
    with daemon(*registry()) as d:
        workers = Workers()
        for size in _VIEWS:
            workers.come(d.port, scale.of(size))
            took_ms, seen = in_child(sync_ms, d.url)
            assert seen == scale.of(size)
            got["first view", size] = took_ms
    return got


def _the_peers(scale: Scale, url: str) -> Round:
    delays, calls = peer.visible_ms(url, scale.of(_VISIBLE))
    got = {**_latencies(delays, calls), (_ANSWER_EMBEDDED, None): quantile(calls, 0.5)}
    for name, (in_flight, total) in _RATES.items():
        took_s = in_child(peer.register_s, url, scale.of(total), in_flight)
        got[f"registrations, {name}", None] = scale.of(total) / took_s
    with daemon("--store", url) as d:  # the same keys and records
        workers = Workers(endpoints=1)  # a client of the peer's has the instances of one
        for size in _VIEWS:
            workers.come(d.port, scale.of(size))
            got["first view", size] = in_child(
                peer.first_view_ms, url, "bench.vllm.generate0", scale.of(size)
            )
    return got
