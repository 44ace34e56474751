"""Two workers, two models, one endpoint, one instant: who wins, and is a loser ever seen."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contending import contend, contend_as_peer, route, witness
from figures import Figure
from harness import child, daemon, etcd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from contending import Seen
    from scale import Scale

_PAIRS = 40
_FEWEST = 20
_NAMES = ("one", "other")
_AHEAD_NS = 30_000_000
_SETTLES_S = 1.0


@dataclass(frozen=True)
class Races:
    """What came of a round: shares of its pairs, in per cent."""

    one_winner: float
    no_winner: float
    two_winners: float
    loser_seen: float


def races(scale: Scale) -> list[Figure]:
    """On etcd, where two daemons of ours share it, and the peer's in turn; ours in memory too."""
    ours: list[Races] = []
    theirs: list[Races] = []
    memory: list[Races] = []
    pairs = max(_FEWEST, scale.of(_PAIRS))
    for _ in range(scale.rounds):
        with etcd() as url, daemon("--store", url) as one, daemon("--store", url) as other:
            ours.append(_raced(contend, (one.url, other.url), witness, url, pairs))
        with etcd() as url:
            theirs.append(_raced(contend_as_peer, (url, url), witness, url, pairs))
        with daemon() as d:
            memory.append(_raced(contend, (d.url, d.url), route, d.url, pairs))
    return [*_figures("on etcd", ours, theirs), *_figures("in memory", memory)]


def _figures(where: str, ours: Sequence[Races], theirs: Sequence[Races] = ()) -> list[Figure]:
    rows = [
        ("pairs with exactly one winner", "%", "one_winner"),
        ("pairs without a winner, of 100", "pairs", "no_winner"),
        ("pairs with two winners, of 100", "pairs", "two_winners"),
        ("pairs whose loser was visible, of 100", "pairs", "loser_seen"),
    ]
    return [
        Figure(
            name=f"{where}: {name}",
            unit=unit,
            rounds=[getattr(found, field) for found in ours],
            ceiling=[getattr(found, field) for found in theirs],
            beside="the peer",
        )
        for name, unit, field in rows
    ]


def _raced(
    contend: Callable[..., None],
    urls: tuple[str, str],
    watch: Callable[..., None],
    watched: str,
    pairs: int,
) -> Races:
    """Race `pairs` of models while a process of its own watches."""
    with ExitStack() as stack:
        witness = stack.enter_context(child(watch, watched))
        witness.recv()
        contenders = [
            stack.enter_context(child(contend, url, name))
            for url, name in zip(urls, _NAMES, strict=True)
        ]
        for contender in contenders:
            contender.recv()
        won = [_race(contenders, number) for number in range(pairs)]
        time.sleep(_SETTLES_S)
        witness.send(None)
        return _races(won, witness.recv())


def _race(contenders: Sequence[Connection], number: int) -> Sequence[bool]:
    """Let both begin at the same instant; return who won."""
    at = time.monotonic_ns() + _AHEAD_NS
    for contender in contenders:
        contender.send((f"c{number}", at))
    return [contender.recv() for contender in contenders]


def _races(won: Sequence[Sequence[bool]], seen: Seen) -> Races:
    def share(is_so: Callable[[int], bool]) -> float:
        return 100 * sum(map(is_so, range(len(won)))) / len(won)

    def were_seen(number: int, *, winners: bool) -> list[bool]:
        return [
            (f"c{number}", name) in seen
            for name, has_won in zip(_NAMES, won[number], strict=True)
            if has_won is winners
        ]

    if not all(all(were_seen(number, winners=True)) for number in range(len(won))):
        raise RuntimeError("the watcher has missed a model")
    return Races(
        one_winner=share(lambda number: sum(won[number]) == 1),
        no_winner=share(lambda number: not any(won[number])),
        two_winners=share(lambda number: all(won[number])),
        loser_seen=share(lambda number: any(were_seen(number, winners=False))),
    )
