"""Requests a second: keep-alives and registrations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from figures import Figure
from harness import child, daemon, in_child
from load import IN_FLIGHT, load
from raw import echo
from workers import grant, keep_alive, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness import DaemonProcess
    from scale import Scale

_WORKERS = 1_000
_LINKS = 64


@dataclass
class Rates:
    """What the rounds of one kind of request gave."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    raw_per_s: list[float] = field(default_factory=list)

    def measure(
        self, d: DaemonProcess, requests: Sequence[bytes], in_flight: int, links: int
    ) -> None:
        """Add a round: the daemon, and then raw pyzmq with the same requests."""
        before_s = d.cpu_s()
        took_s = in_child(load, d.port, requests, in_flight, links)
        self.per_s.append(len(requests) / took_s)
        self.cpu_us.append((d.cpu_s() - before_s) / len(requests) * 1e6)
        with child(echo) as raw:
            raw_s = in_child(load, raw.recv(), requests, in_flight, links)
        self.raw_per_s.append(len(requests) / raw_s)

    def figures(self, name: str, aim: float | None) -> list[Figure]:
        """Return the requests a second, and what each costs the daemon."""
        return [
            Figure(name=name, unit="/s", rounds=self.per_s, aim=aim, ceiling=self.raw_per_s),
            Figure(name=f"{name}, daemon CPU each", unit="us", rounds=self.cpu_us),
        ]


def keep_alives(scale: Scale) -> list[Figure]:
    """Keep-alives of 1,000 workers: 64 in flight over one connection, and over one each."""
    requests = [keep_alive(n % _WORKERS) for n in range(scale.of(60_000))]
    one, many = Rates(), Rates()
    with daemon() as d:
        in_child(load, d.port, [grant(n) for n in range(_WORKERS)])
        for _ in range(scale.rounds):
            one.measure(d, requests, IN_FLIGHT, 1)
            many.measure(d, requests, IN_FLIGHT, _LINKS)
    return [
        *one.figures("keep-alives, 64 in flight", 30_000),
        *many.figures("keep-alives, 64 connections", None),
    ]


def registrations(scale: Scale) -> list[Figure]:
    """New workers register an endpoint, with and without a model, one by one or 64 in flight."""
    cases = {
        ("endpoint", 1, 2_000): None,
        ("endpoint", IN_FLIGHT, 10_000): 5_000,
        ("endpoint and model", IN_FLIGHT, 5_000): None,
    }
    figures: list[Figure] = []
    for (what, in_flight, count), aim in cases.items():
        rates = Rates()
        for _ in range(scale.rounds):
            workers = range(scale.of(count))
            requests = [register(n, has_model=what != "endpoint") for n in workers]
            with daemon() as d:
                in_child(load, d.port, [grant(n) for n in workers])
                rates.measure(d, requests, in_flight, 1)
        how = "one by one" if in_flight == 1 else f"{in_flight} in flight"
        figures += rates.figures(f"registrations of an {what}, {how}", aim)
    return figures
