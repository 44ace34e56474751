"""What operators graph, read from the daemon at each scrape: serving costs nothing for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric


HELP = {
    "records": "Visible records, by kind.",
    "claims": "Claims of downloads, by status.",
    "processes": "Leases that somebody holds.",
    "unreadable_records": "Records that cannot be read, and so are not visible.",
    "watchers": "Streams heard of within the last 30 s.",
    "revision": "Revision of the registry that this daemon is at.",
    "recovering": "1 while workers may live that this daemon has not heard from yet.",
    "store_age_seconds": "Seconds since it was proven that this daemon is not behind its store.",
    "requests_total": "Requests answered.",
    "refusals_total": "Requests answered with an error.",
    "published_messages_total": "EVENTs and BEATs published.",
    "rejected_messages_total": "Messages dropped because they are no requests or subscriptions.",
    "pauses_total": "Times that this daemon had stood still, or its store had been away.",
    "divergences_total": "Times that the daemon's view was not what the store held.",
    "relists_total": "Times that the store's history was lost and all was loaded anew.",
}
"""What each metric means."""

LABELS = {"records": "kind", "claims": "status"}
"""By what those are split that have a value for each of several."""


class _DaemonCollector(Collector):
    def __init__(self, read: Callable[[], Mapping[str, object]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for name, value in self._read().items():
            is_counter = name.endswith("_total")
            family = CounterMetricFamily if is_counter else GaugeMetricFamily
            text = HELP.get(name, name)
            if isinstance(value, Mapping):
                metric = family(f"discoveryd_{name}", text, labels=[LABELS[name]])
                for kind, count in sorted(value.items()):
                    metric.add_metric([kind], count)
                yield metric
            else:
                yield family(f"discoveryd_{name}", text, value=float(str(value)))


def daemon_metrics(read: Callable[[], Mapping[str, object]]) -> CollectorRegistry:
    """Return a registry with one metric for each item of what `read` returns at the scrape.

    A name ending in `_total` is a counter, another a gauge; a mapping is one metric with its keys
    as the label that `LABELS` says.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_DaemonCollector(read))
    return registry
