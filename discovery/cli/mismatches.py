"""Judges whether those who register and those who watch can find each other. Does no I/O."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from discovery.cli.facts import OWN_NAMESPACE
from discovery.cli.findings import Finding, at_most, ok, warn
from discovery.cli.notes import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.cli.facts import Facts, Watching
    from discovery.instance import EndpointInstance, Instance, ModelInstance
    from discovery.names import Scope

_SIMILAR: Final = 0.75


def check_mismatches(facts: Facts) -> Sequence[Finding]:
    """Judge what is watched against what is registered, and endpoints against models."""
    instances: list[Instance] = [*facts.endpoints, *facts.models, *facts.channels]
    counts = Counter(instance.id.scope for instance in instances)
    watching = [one for one in facts.watching if OWN_NAMESPACE not in one.scope]
    return [
        *at_most(_unwatched(counts, watching)),
        *at_most(_unregistered(counts, watching)),
        *at_most(_pairs(facts)),
    ]


def _unwatched(counts: Mapping[Scope, int], watching: Sequence[Watching]) -> list[Finding]:
    """Find what no router sees. A router may follow models only, or endpoints only."""
    watched = {one.scope for one in watching if not one.client.startswith(f"{PROGRAM}[")}
    places: dict[tuple[str, ...], list[Scope]] = {}
    for scope in counts:
        kind, *names = scope
        place = ("channels" if kind == "channels" else "workers", *names)
        places.setdefault(place, []).append(scope)
    found = [
        warn(
            "watched",
            f"nobody watches {_listed(scopes, counts)}",
            "start a router that does, or correct its scope; see discoveryctl get watchers",
        )
        for scopes in places.values()
        if not any(_is_watched(scope, watched) for scope in scopes)
    ]
    if not places:
        return [ok("watched", "nothing is registered yet")]
    return found or [ok("watched", f"somebody watches each of {len(places)} places")]


def _unregistered(counts: Mapping[Scope, int], watching: Sequence[Watching]) -> list[Finding]:
    """Find who waits for what is not there, and what may have been meant."""
    clients: dict[Scope, list[str]] = {}
    for one in watching:
        clients.setdefault(one.scope, []).append(one.client)
    found = []
    for scope, names in clients.items():
        if len(scope) == 1 or any(leaf[: len(scope)] == scope for leaf in counts):
            continue
        near = _nearest(scope, counts)
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        text = f"{who} watches {'/'.join(scope)}, and nothing is registered there"
        do = "start what is to be there, or correct the names of either side"
        found.append(warn("registered", f"{text}; {near}" if near else text, do))
    if not clients:
        return [ok("registered", "nobody watches anything yet")]
    return found or [ok("registered", f"nobody of {len(watching)} watches an empty scope")]


def _nearest(scope: Scope, counts: Mapping[Scope, int]) -> str | None:
    """Return what is registered under other names that look alike, or as another kind."""
    above: Counter[Scope] = Counter()
    for leaf, count in counts.items():
        above[leaf[: len(scope)]] += count
    same_names = [other for other in above if other[1:] == scope[1:]]
    texts = {"/".join(other).lower(): other for other in above if other[0] == scope[0]}
    close = get_close_matches("/".join(scope).lower(), texts, n=1, cutoff=_SIMILAR)
    near = texts[close[0]] if close else next(iter(same_names), None)
    return f"{'/'.join(near)} has {above[near]}" if near else None


def _pairs(facts: Facts) -> list[Finding]:
    """Find processes of which a router sees one half."""
    endpoints, models = _by_place(facts.endpoints), _by_place(facts.models)
    found = []
    for place, ids in models.items():
        deaf = sorted(ids - endpoints.get(place, set()))
        if deaf:
            text = f"{place}: {_ids(deaf)} registered a model and no endpoint: nobody can call it"
            found.append(warn("pairs", text, "register both as one unit, with register_all"))
        mute = sorted(endpoints.get(place, set()) - ids)
        if mute:
            text = f"{place}: {_ids(mute)} registered an endpoint and no model, others have one"
            found.append(warn("pairs", text, "register both as one unit, with register_all"))
    return found or [ok("pairs", f"{len(facts.models)} models, each with its endpoint")]


def _by_place(instances: Sequence[EndpointInstance | ModelInstance]) -> dict[str, set[int]]:
    places: dict[str, set[int]] = {}
    for instance in instances:
        places.setdefault("/".join(instance.id.path), set()).add(instance.instance_id)
    return places


def _is_watched(leaf: Scope, watched: set[Scope]) -> bool:
    return any(leaf[:depth] in watched for depth in range(1, len(leaf) + 1))


def _listed(scopes: Sequence[Scope], counts: Mapping[Scope, int]) -> str:
    return " nor ".join(f"{'/'.join(scope)} ({counts[scope]})" for scope in scopes)


def _ids(numbers: Sequence[int]) -> str:
    first = f"{numbers[0]:x}"
    return first if len(numbers) == 1 else f"{first} and {len(numbers) - 1} more"
