"""The daemon with its registry in etcd: what it costs, beside the same daemon in memory."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from figures import Figure
from harness import daemon, etcd, in_child, quantile
from load import load
from routers import hearers, sync_ms, watch
from visible import delays_ms, work
from workers import Workers, grant, register

if TYPE_CHECKING:
    from scale import Scale

_VISIBLE = 300
_ONE_BY_ONE = 500
_AT_ONCE = 5_000
_VIEW = 10_000


def on_etcd(scale: Scale) -> list[Figure]:
    """Registrations, what routers see of them, and a first view, each beside memory."""
    ours: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    for _ in range(min(3, scale.rounds)):
        with etcd() as url:
            _round(scale, ours, url)
        _round(scale, memory)
    units = {"one by one": "/s", "1,000 in flight": "/s"}
    return [
        Figure(
            name=f"on etcd: {name}",
            unit=units.get(name, "ms"),
            rounds=rounds,
            ceiling=memory[name],
            beside="in memory",
        )
        for name, rounds in ours.items()
    ]


def _round(scale: Scale, into: dict[str, list[float]], url: str | None = None) -> None:
    parts = count()

    def note(name: str, value: float) -> None:
        into.setdefault(name, []).append(value)

    def registry() -> tuple[str, ...]:
        """A registry of its own for each part."""
        return ("--store", f"{url}?prefix={next(parts)}/") if url else ()

    with daemon(*registry()) as d:
        with hearers(watch, d.url, 1) as router:
            router.synced()
            changes = scale.of(_VISIBLE)
            router.expect(changes)
            sent, answered = in_child(work, d.url, changes)
            delays = delays_ms(sent, router.arrivals())
            calls = [(b - a) / 1e6 for a, b in zip(sent.values(), answered, strict=True)]
        note("register → event, p50", quantile(delays, 0.5))
        note("register → event, p99", quantile(delays, 0.99))
        note("register → answer, p50", quantile(calls, 0.5))
    for name, in_flight, total in (
        ("one by one", 1, scale.of(_ONE_BY_ONE)),
        ("1,000 in flight", 1_000, scale.of(_AT_ONCE)),
    ):
        with daemon(*registry()) as d:
            first = 1_000_000 * (1 + in_flight)  # leases belong to all of etcd
            numbers = range(first, first + total)
            in_child(load, d.port, [grant(n) for n in numbers])
            requests = [register(n) for n in numbers]
            note(name, total / in_child(load, d.port, requests, in_flight))
    with daemon(*registry()) as d:
        size = scale.of(_VIEW)
        workers = Workers()
        workers.come(d.port, size)
        took_ms, seen = in_child(sync_ms, d.url)
        assert seen >= size
        note("first view of 10,000", float(took_ms))
