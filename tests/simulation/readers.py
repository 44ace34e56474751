"""What stands behind a router's stream: an application that is slow to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.events import Added
from discovery.outbox import Coalescer, Outbox

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from discovery.events import Event
    from discovery.instance import Instance
    from discovery.view import Shown
    from tests.simulation.judge import Judge


class Reader:
    """Gets what is shown through a coalescer and an outbox, and checks what it gets.

    Args:
        judge: of the router; knows what was shown.
        lag_s: the longest that it does not look.
        rng: of the router.
    """

    def __init__(self, judge: Judge, *, lag_s: float, rng: random.Random) -> None:
        self.has: dict[object, Instance] = {}
        self.coalescer, self.outbox = Coalescer(), Outbox()
        self._judge, self._lag_s, self._rng = judge, lag_s, rng
        self._handed_on: dict[object, Instance] = {}

    def push(self, shown: Iterable[Shown]) -> None:
        """Note what became visible or went."""
        self.coalescer.push(shown)

    def next_s(self) -> float:
        """Return after how long it looks again."""
        return self._rng.uniform(0.02, self._lag_s)

    def go_on(self) -> None:
        """Perhaps hand on what is pending, perhaps read what was handed on."""
        most = len(self.coalescer._given | self._judge.shown.keys())
        if len(self.coalescer._pending) > most:
            self._judge.blame("unbounded", f"{len(self.coalescer._pending)} pending of {most}")
        if self._rng.random() < 0.6:
            self._hand_on()
        if self._rng.random() < 0.6:
            self._read()

    def catch_up(self) -> None:
        """Read all there is."""
        self._hand_on()
        self._read()

    def _hand_on(self) -> None:
        self.outbox.push(self.coalescer.take())
        self._handed_on = {instance.id: instance for instance in self._judge.shown.values()}

    def _read(self) -> None:
        for event in self.outbox.take():
            self._hear(event)
        if self.has != self._handed_on:
            self._judge.blame("torn", "the reader has what was shown at no moment")

    def _hear(self, event: Event) -> None:
        if not isinstance(event, Added):
            if self.has.pop(event.id, None) is None:
                self._judge.blame("not unique", f"the reader never had {event.id}")
            return
        instance = event.instance
        before = self.has.get(instance.id)
        if before == instance or event.is_update != (before is not None):
            self._judge.blame("not unique", f"the reader had {instance.id} already")
        self.has[instance.id] = instance
        if not self._judge.was_tainted:
            self._judge.check_rivals(self.has, instance)
