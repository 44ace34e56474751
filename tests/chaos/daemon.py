"""discoveryd; in memory it writes down every revision of its store.

usage: python -m tests.chaos.daemon LOG FLAG…
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discovery.clock import monotonic_s
from discovery.daemon import main
from discovery.store import Batch
from discovery.stores.history import History
from discovery.stores.memory import MemoryStore
from tests.chaos.planting import planted_as_told
from tests.chaos.recording import Log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.store import Change


def write_down(log: Log) -> None:
    """Write each new epoch, and each revision, before anybody can know of it."""
    init, append = MemoryStore.__init__, History.append

    def begin(self: MemoryStore, **settings: Any) -> None:
        init(self, **settings)
        log.write((monotonic_s(), self.epoch, self._history.revision))

    def note(self: History, changes: Sequence[Change]) -> int:
        if changes:
            log.write((monotonic_s(), Batch(self.revision + 1, tuple(changes))))
        return append(self, changes)

    MemoryStore.__init__ = begin  # type: ignore[method-assign] - the daemon is otherwise as it is
    History.append = note  # type: ignore[method-assign]


if __name__ == "__main__":
    write_down(Log(Path(sys.argv.pop(1))))
    with planted_as_told():
        sys.exit(main())
