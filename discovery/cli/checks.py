"""Judges how a daemon is, and how the processes that hold leases of it are. Does no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from discovery.cli.findings import Finding, at_most, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.cli.facts import Facts

_CLOCK_MS: Final = 1000.0
_BEATS_UNTIL_STALE: Final = 3
_STARTING_S: Final = 60.0
_RENEWALS: Final = 3  # in a TTL
_NEAR: Final = 0.25  # of the time to the next renewal
_DEFAULT_TTL_S: Final = 10.0


def check_daemon(facts: Facts, own_version: str, now_ms: int) -> Sequence[Finding]:
    """Judge version, clock, store, recovery and what cannot be read."""
    status = facts.status
    return [
        _version(status, own_version),
        ok("registry", f"epoch {status.get('epoch')}, revision {status.get('revision')}"),
        _clock(facts.clock_ms),
        _store(status),
        *_backend(status),
        _recovery(status, now_ms),
        *_unreadable(status),
    ]


def check_leases(facts: Facts) -> Sequence[Finding]:
    """Judge the leases: those that hold nothing, and TTLs against the pace of this machine."""
    empty = [lease for lease in facts.leases if not (lease.records or lease.is_draining)]
    found = [
        warn(
            "leases",
            f"process {lease.id} holds a lease and has nothing registered: it was refused, "
            "or has taken back everything",
            "look at what that process has logged",
        )
        for lease in empty
    ]
    if not found:
        found = [ok("leases", f"{len(facts.leases)} held, none of them for nothing")]
    return [*at_most(found), _ttl(facts)]


def _version(status: Mapping[str, object], own: str) -> Finding:
    theirs = status.get("version")
    if theirs == own:
        return ok("version", f"discoveryctl and discoveryd are {own}")
    found = f"discoveryctl is {own}, discoveryd is {theirs}"
    return warn("version", found, "run the same version of both")


def _clock(clock_ms: float | None) -> Finding:
    if clock_ms is None:
        return ok("clock", "this discoveryd does not tell its time")
    found = f"discoveryd's clock is {abs(clock_ms) / 1000:.3f} s "
    found += "before ours" if clock_ms > 0 else "behind ours"
    if abs(clock_ms) <= _CLOCK_MS:
        return ok("clock", found)
    do = "set both by NTP; only the times in messages depend on it, no lease does"
    return warn("clock", found, do)


def _store(status: Mapping[str, object]) -> Finding:
    url, age_s = status.get("store"), _number(status, "store_age_s")
    found = f"{url}, proven {age_s:.1f} s ago"
    if age_s > _BEATS_UNTIL_STALE * _number(status, "beat_interval_s"):
        do = "see whether the store is up and discoveryd reaches it; views are kept, but are stale"
        return fail("store", found, do)
    if str(url).startswith("memory:"):
        found += "; forgets all when discoveryd ends, and workers register again by themselves"
    return ok("store", found)


def _backend(status: Mapping[str, object]) -> Sequence[Finding]:
    """Judge the system behind the store, if there is one."""
    backend = status.get("backend")
    if not isinstance(backend, dict):
        return []
    place = f"etcd at {backend.get('endpoint')}"
    if "error" in backend:
        do = "see whether it is up, and reached from discoveryd's host"
        return [fail("backend", f"{place}: {backend['error']}", do)]
    version = str(backend.get("version"))
    megabytes = _number(backend, "bytes") / 1e6
    found = f"{place} is {version}, at revision {backend.get('revision')}, with "
    found += f"{backend.get('leases')} leases and {megabytes:.1f} MB"
    findings = [ok("backend", found)]
    if not backend.get("has_leader"):
        do = "see that a majority of its members is up and reaches each other"
        findings.append(fail("backend", f"{place}: has no leader", do))
    if _loses_changes(version):
        found = f"{place}: {version} can lose changes on their way to those who watch"
        do = "upgrade to 3.4.36, 3.5.18 or later; until then views are compared from time to time"
        findings.append(warn("backend", found, do))
    if backend.get("divergences"):
        found = f"{place}: discoveryd's view differed from it {backend['divergences']} times"
        findings.append(warn("backend", found, "see discoveryd's log; every view was put right"))
    foreign = backend.get("foreign")
    if foreign:
        findings.append(ok("backend", f"{foreign} records are not registered by discoveryd"))
    return findings


def _loses_changes(version: str) -> bool:
    """Say whether an etcd has faults that its changelogs of 3.4.36 and 3.5.18 tell of."""
    try:
        major, minor, patch = (int(part) for part in version.split("."))
    except ValueError:
        return False
    fixed = {(3, 4): 36, (3, 5): 18}
    return (major, minor) < (3, 4) or patch < fixed.get((major, minor), 0)


def _recovery(status: Mapping[str, object], now_ms: int) -> Finding:
    up_s = max(0.0, (now_ms - _number(status, "started_ms")) / 1000)
    if not status.get("recovering"):
        return ok("recovery", f"none; discoveryd is up for {up_s:.0f} s")
    found = f"discoveryd believes no lease's end for a while; it is up for {up_s:.0f} s"
    if up_s <= _STARTING_S:
        return ok("recovery", found)
    do = "it stood still or lost its store: see its log, and give it more CPU"
    return warn("recovery", found, do)


def _unreadable(status: Mapping[str, object]) -> Sequence[Finding]:
    why = status.get("unreadable")
    if not isinstance(why, dict) or not why:
        return [ok("unreadable", "every record can be read")]
    do = "see who wrote it; nobody is shown it, and a writer of another version may be the cause"
    return at_most([warn("unreadable", f"{key}: {reason}", do) for key, reason in why.items()])


def _ttl(facts: Facts) -> Finding:
    """A renewal that comes late by what was measured here must not come near the next one."""
    pace = facts.pace
    ttl_s = min((lease.ttl_s for lease in facts.leases), default=_DEFAULT_TTL_S)
    late_s, every_s = pace.lag_s + pace.request_s, ttl_s / _RENEWALS
    found = (
        f"the shortest is {ttl_s:g} s, renewed every {every_s:.2g} s; on this machine a renewal is "
        f"late by {late_s * 1000:.0f} ms at worst ({pace.lag_s * 1000:.0f} ms until it is sent, "
        f"{pace.request_s * 1000:.0f} ms until it is answered)"
    )
    if late_s <= _NEAR * every_s:
        return ok("ttl", found)
    do = "take a longer TTL, or a machine with time left: those who live may be taken for dead"
    return warn("ttl", found, do)


def _number(status: Mapping[str, object], name: str) -> float:
    value = status.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
