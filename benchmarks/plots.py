"""The plots of docs/benchmarks.md, by name, of the figures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bars import Bars
from figures import label
from plot import Plot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bars import Row
    from plot import Points

    Rows = Sequence[Mapping[str, Any]]


def plots(rows: Mapping[str, Rows]) -> Iterator[tuple[str, Plot | Bars]]:
    yield from _of_growth(rows["growth"])
    yield from _of_fanout(rows["fanout"])
    yield from _on_etcd(rows["on_etcd"])
    yield from _of_ends(rows["removal"], rows["races"])
    yield from _of_clients(rows["events"], rows["memory"])


def _of_growth(growth: Rows) -> Iterator[tuple[str, Plot]]:
    yield (
        "first-view",
        Plot(
            title="A fresh router's first view",
            x="instances",
            y="ms",
            is_log=True,
            lines={
                "of what just changed": _points(growth, "first view, of what just changed"),
                "like the one before": _points(growth, "first view, like the one before"),
                "raw pyzmq": _points(growth, "first view, of what just changed", "raw"),
            },
        ),
    )
    yield (
        "cost-of-an-event",
        Plot(
            title="Daemon CPU, by the number of instances",
            x="instances",
            y="us each",
            lines={
                "an event, at 1,000 a second": _points(growth, "an event at 1,000/s, daemon CPU"),
                "a keep-alive": _points(growth, "a keep-alive, daemon CPU"),
            },
        ),
    )
    yield (
        "memory",
        Plot(
            title="Daemon memory for an endpoint and its lease",
            x="instances",
            y="bytes",
            lines={"an endpoint": _points(growth, "an endpoint, daemon memory")},
            bound=(2048, "aim: at most 2,048"),
        ),
    )


def _of_fanout(fanout: Rows) -> Iterator[tuple[str, Plot]]:
    yield (
        "fan-out",
        Plot(
            title="From a change to the application, by the number of streams",
            x="streams, a connection each, in 4 processes",
            y="ms",
            is_log=True,
            lines={
                "p50": _points(fanout, "change → a stream, p50"),
                "p99": _points(fanout, "change → a stream, p99"),
                "raw pyzmq, p99": _points(fanout, "change → a stream, p99", "raw"),
            },
        ),
    )


def _on_etcd(on_etcd: Rows) -> Iterator[tuple[str, Plot | Bars]]:
    name = "on etcd: registrations, "
    yield (
        "registrations-on-etcd",
        Bars(
            title="Registrations a second, on etcd",
            unit="/s",
            rows=_pairs(on_etcd, name),
        ),
    )
    yield (
        "first-view-on-etcd",
        Plot(
            title="All instances of an endpoint at a fresh client, on etcd",
            x="instances",
            y="ms",
            is_log=True,
            lines={
                "ours": _points(on_etcd, "on etcd: first view"),
                "the peer's": _points(on_etcd, "on etcd: first view", "raw"),
            },
        ),
    )


def _of_ends(removal: Rows, races: Rows) -> Iterator[tuple[str, Bars]]:
    ((_, *back),) = _pairs(removal, " → listed again")
    yield (
        "removal",
        Bars(
            title="From a worker's end to a router's knowledge of it, on etcd",
            unit="s",
            is_log=True,
            rows=[*_pairs(removal, " → gone"), ("continued → listed again", *back)],
            missing="never in 30 s",
        ),
    )
    yield (
        "races",
        Bars(
            title="Two models at one endpoint at one instant, on etcd",
            unit="of 100",
            rows=[
                (name.removesuffix(", of 100"), *pair) for name, *pair in _pairs(races, "on etcd: ")
            ],
        ),
    )


def _of_clients(events: Rows, memory: Rows) -> Iterator[tuple[str, Bars]]:
    steady = [row for row in events if "publish → event" in row["name"]]
    yield (
        "event-latency",
        Bars(
            title="From a publisher to a subscriber, 1,000 events a second",
            unit="ms",
            rows=_pairs(steady, "events on ", ": publish → event at 1,000/s"),
        ),
    )
    yield (
        "client-memory",
        Bars(
            title="Client memory for an instance",
            unit="B",
            rows=_pairs(memory, "an instance, client memory, "),
        ),
    )


def _points(rows: Rows, name: str, value: str = "got") -> Points:
    return [(row["at"], row[value]) for row in rows if row["name"] == name]


def _pairs(rows: Rows, *parts: str) -> list[Row]:
    """Return ours and the peer's of all whose label has `parts`, which are left out of it."""
    found: list[Row] = []
    for row in rows:
        name = label(row)
        if all(part in name for part in parts):
            for part in parts:
                name = name.replace(part, "")
            found.append((name, row["got"], row["raw"]))
    return found
