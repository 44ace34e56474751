"""Claims a second, in memory and on etcd."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from asking import Rates
from harness import daemon, etcd, in_child
from load import IN_FLIGHT, load
from workers import grant, try_claim

if TYPE_CHECKING:
    from figures import Figure
    from scale import Scale

_COUNTS = {("memory", 1): 2_000, ("memory", IN_FLIGHT): 10_000, ("etcd", 1): 500}
_AIM_PER_S = 3_000
_ONE = 1_000_000_000
"""Number of the model that all want."""


def claims(scale: Scale) -> list[Figure]:
    """New workers claim a model each, one by one or 64 in flight, or all of them the same one."""
    figures: list[Figure] = []
    for where in ("memory", "etcd"):
        for what, in_flight in (("its own", 1), ("its own", IN_FLIGHT), ("one for all", IN_FLIGHT)):
            rates = Rates()
            count = scale.of(_COUNTS.get((where, in_flight), 5_000))
            for _ in range(scale.rounds):
                _measure(rates, where, what, in_flight, count)
            how = "one by one" if in_flight == 1 else f"{in_flight} in flight"
            name = f"claims in {where}, {how}" if what == "its own" else f"claims of one, {where}"
            is_aimed = where == "memory" and what == "its own" and in_flight > 1
            figures += rates.figures(name, _AIM_PER_S if is_aimed else None)
    return figures


def _measure(rates: Rates, where: str, what: str, in_flight: int, count: int) -> None:
    workers = range(count)
    requests = [try_claim(n, n if what == "its own" else _ONE) for n in workers]
    with ExitStack() as stack:
        flags = ("--store", stack.enter_context(etcd())) if where == "etcd" else ()
        d = stack.enter_context(daemon(*flags))
        in_child(load, d.port, [grant(n) for n in workers])
        rates.measure(d, requests, in_flight, 1)
