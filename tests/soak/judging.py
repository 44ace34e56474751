"""Whether what was sampled at still moments is flat.

At each still moment the fleet has the same size, so what differs between moments is the change of
the whole. The first quarter is a warm-up: the daemon's history of 20,000 revisions fills, and so do
the queues of ZMQ, each of which has two blocks of 256 messages that it fills in turn. Then half of
the time lies between the middles of the second and the last quarter, and the medians of these two
are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.soak.sampling import Sample

MOST_GROWN_BYTES = 2 << 20
MOST_GROWN_SHARE = 0.05
"""Of memory, whichever is more. In an hour at 20 changes a second 36,000 of them lie between the
two quarters: a daemon with 100 MiB that keeps 150 bytes of each is found."""

MOST_MORE = 4
"""Descriptors or threads: what is being opened at the moment. Between the two quarters some 10,000
workers connect and as many leave: one descriptor lost of a thousand is found."""

FEWEST_MOMENTS = 20


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A value in the second and in the last quarter of the time, and how much it may grow."""

    process: str
    what: str
    before: float
    after: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        return self.after - self.before <= self.allowed

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else f"GROWN by more than {self.allowed:,.0f}"
        return f"{self.process}: {self.what} {self.before:,.0f} -> {self.after:,.0f}, {verdict}"


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """Return how memory, descriptors and threads grew after the warm-up.

    Descriptors of the daemons are added up: a client may move from one to the other.
    """
    found, together = [], []
    still = [one for one in samples if one.is_still]
    for process in sorted({one.process for one in still}):
        own = [one for one in still if one.process == process]
        memory = [one.memory_bytes for one in own]
        descriptors = [one.descriptors for one in own]
        found.append(grown(process, "memory", memory, MOST_GROWN_BYTES, MOST_GROWN_SHARE))
        found.append(grown(process, "threads", [one.threads for one in own], MOST_MORE))
        if process.startswith("daemon"):
            together.append(descriptors)
        else:
            found.append(grown(process, "descriptors", descriptors, MOST_MORE))
    sums = [sum(each) for each in zip(*together, strict=True)]
    return [*found, grown("daemons", "descriptors", sums, MOST_MORE)]


def grown(
    process: str, what: str, values: Sequence[float], allowed: float, share: float = 0.0
) -> Growth:
    """Compare the second with the last quarter of `values`."""
    quarter = len(values) // 4
    before, after = median(values[quarter : 2 * quarter]), median(values[-quarter:])
    allowed = max(allowed, share * before)
    return Growth(process=process, what=what, before=before, after=after, allowed=allowed)


def counted(series: Mapping[str, Sequence[float]]) -> list[Growth]:
    """The same for what is counted in the store, by name."""
    return [grown("etcd", name, values, MOST_MORE) for name, values in series.items()]
