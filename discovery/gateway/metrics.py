"""What operators graph, read from the daemon at each scrape: serving costs nothing for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric


class _DaemonCollector(Collector):
    def __init__(self, read: Callable[[], Mapping[str, object]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for name, value in self._read().items():
            is_counter = name.endswith("_total")
            family = CounterMetricFamily if is_counter else GaugeMetricFamily
            text = name.removesuffix("_total").replace("_", " ")
            if isinstance(value, dict):
                metric = family(f"discoveryd_{name}", text, labels=["kind"])
                for kind, count in sorted(value.items()):
                    metric.add_metric([kind], count)
                yield metric
            else:
                yield family(f"discoveryd_{name}", text, value=float(str(value)))


def daemon_metrics(read: Callable[[], Mapping[str, object]]) -> CollectorRegistry:
    """Return a registry with one metric for each item of what `read` returns at the scrape.

    A name ending in `_total` is a counter, another a gauge; a mapping is one metric with its keys
    as label `kind`.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_DaemonCollector(read))
    return registry
