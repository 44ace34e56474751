"""Every sentence that a story may use, and who does it.

In capitals: what a writer fills in. `N` is a number, `REST` all that is left of the line, anything
else one word.
"""

from __future__ import annotations

import re
from functools import cache, partial
from typing import TYPE_CHECKING

from tests.scenarios.stage import Stage, StoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SENTENCES: Mapping[str, Callable[..., None]] = {
    # who is there
    "store STORE": Stage.add_store,
    "daemon DAEMON": Stage.add_daemon,
    "daemon DAEMON that keeps N changes": Stage.add_forgetful_daemon,
    "daemon DAEMON on STORE": Stage.add_daemon_on,
    "worker WORKER with id ID": Stage.add_worker,
    "router ROUTER watches SCOPE": Stage.add_router,
    # what they do
    "WORKER registers REST": lambda s, w, unit: s.worker(w).register(unit),
    "WORKER updates ITEM NAME N times": lambda s, w, i, n, times: s.worker(w).update(i, n, times),
    "WORKER unregisters ITEM": lambda s, w, item: s.worker(w).unregister(item),
    "WORKER leaves": lambda s, w: s.worker(w).leave(),
    "WHO goes to DAEMON": lambda s, who, d: s.client(who).go_to(d),
    "ROUTER stops reading": lambda s, r: s.router(r).stop_reading(),
    "ROUTER reads again": lambda s, r: s.router(r).read_again(),
    "how is WHO?": lambda s, who: s.actor(who).describe(),
    "a peer with id ID writes REST to STORE": Stage.write,
    "a peer with id ID deletes ITEM in STORE": Stage.delete,
    "after N s": Stage.wait,
    # what befalls them
    "WHO dies": lambda s, who: s.actor(who).die(),
    "WHO stands still": Stage.stand_still,
    "WHO goes on": Stage.go_on,
    "DAEMON says goodbye and stops": lambda s, d: s.daemon(d).stop(),
    "DAEMON starts again": lambda s, d: s.daemon(d).start(),
    "DAEMON hears nothing of STORE for N s": Stage.lag,
    "STORE compacts": lambda s, store: s.server(store).compact(),
    # what befalls messages
    "WHO is cut off from DAEMON": lambda s, who, d: s.client(who).line.cut_off.add(d),
    "WHO reaches DAEMON again": lambda s, who, d: s.client(who).line.cut_off.remove(d),
    "ROUTER hears nothing": lambda s, r: s.router(r).ear.close(),
    "ROUTER hears again": lambda s, r: s.router(r).ear.open(),
    "ROUTER loses the next N events": lambda s, r, count: s.router(r).ear.lose(count),
    "ROUTER gets the next event spoiled": lambda s, r: s.router(r).ear.spoil(),
    "the last OP of WORKER arrives again at DAEMON": Stage.repeat,
    "a thief sends OP as WORKER to DAEMON": Stage.steal,
}


_REST, _WORD = ".+", r"[^\s?]+"


def deed_from_sentence(text: str, stage: Stage) -> Callable[[], None]:
    """Return what a sentence says, to be done. Raises `StoryError` for one that is not known."""
    for pattern, do in SENTENCES.items():
        found = _expression(pattern).fullmatch(text)
        if found:
            words = [
                int(word) if name.startswith("n") else word
                for name, word in found.groupdict().items()
            ]
            return partial(do, stage, *words)
    raise StoryError(f"{text!r} is no sentence that is known; see sentences.py")


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    numbers = iter(range(10))

    def fill_in(found: re.Match[str]) -> str:
        word = found.group()
        if word == "N":
            return rf"(?P<n{next(numbers)}>\d+)"
        return f"(?P<w{next(numbers)}>{_REST if word == 'REST' else _WORD})"

    return re.compile(re.sub(r"\b[A-Z]+\b", fill_in, pattern.replace("?", r"\?")))
