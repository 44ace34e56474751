"""What the doctor makes of facts that take other machines or other times to come by."""

from __future__ import annotations

from dataclasses import replace

import pytest

import discovery
from discovery.cli.checks import check_daemon, check_leases
from discovery.cli.facts import Facts, Lease, Pace, Watching
from discovery.cli.mismatches import check_mismatches
from discovery.cli.probing import Probe, check_events
from discovery.cli.reach import check_addresses, host_of
from tests.cli.ctl import ADDRESS, PLACE
from transports.address import parse_url

ENDPOINT = discovery.EndpointSpec(**PLACE, transport={"tcp": ADDRESS})
MODEL = discovery.ModelSpec(**PLACE, card={"display_name": "m"})
FACTS = Facts(
    status={"started_ms": 0, "store": "memory://", "store_age_s": 0.0, "beat_interval_s": 1.0},
    clock_ms=None,
    watching=[],
    leases=[],
    endpoints=[],
    models=[],
    channels=[],
    pace=Pace(lag_s=0.001, request_s=0.001),
)


def watching(client: str, *scope: str) -> Watching:
    return Watching(client=client, scope=scope)


def test_a_recovery_is_expected_after_a_start_and_strange_an_hour_later():
    facts = replace(FACTS, status={**FACTS.status, "recovering": True})
    for now_ms, verdict in ((5_000, "ok"), (3_600_000, "warn")):
        findings = check_daemon(facts, "0.1.0", now_ms)
        assert [f.verdict for f in findings if f.check == "recovery"] == [verdict]


@pytest.mark.parametrize(
    ("backend", "verdicts", "text"),
    [
        ({}, ["ok"], "etcd at h:1 is 3.6.1, at revision 7, with 3 leases and 1.0 MB"),
        ({"error": "no answer"}, ["fail"], "etcd at h:1: no answer"),
        ({"has_leader": False}, ["ok", "fail"], "has no leader"),
        ({"version": "3.4.23"}, ["ok", "warn"], "3.4.23 can lose changes"),
        ({"version": "3.3.27"}, ["ok", "warn"], "3.3.27 can lose changes"),
        ({"version": "3.4.36"}, ["ok"], "3.4.36"),
        ({"version": "3.5.17"}, ["ok", "warn"], "3.5.17 can lose changes"),
        ({"version": "3.5.18"}, ["ok"], "3.5.18"),
        ({"version": "4.0.0-rc"}, ["ok"], "4.0.0-rc"),
        ({"divergences": 2}, ["ok", "warn"], "differed from it 2 times"),
        ({"foreign": 5}, ["ok", "ok"], "5 records are not registered by discoveryd"),
    ],
    ids=str,
)
def test_the_system_behind_the_store_is_judged(backend, verdicts, text):
    well = {"endpoint": "h:1", "version": "3.6.1", "revision": 7, "leases": 3, "bytes": 1_000_000}
    well |= {"has_leader": True, "divergences": 0, "foreign": 0}
    facts = replace(FACTS, status={**FACTS.status, "backend": well | backend})
    findings = [f for f in check_daemon(facts, "0.1.0", 0) if f.check == "backend"]
    assert [f.verdict for f in findings] == verdicts
    assert any(text in f.found for f in findings)


@pytest.mark.parametrize(
    ("ttl_s", "late_s", "verdict"),
    [(10, 0.4, "ok"), (10, 1.0, "warn"), (1, 0.1, "warn"), (60, 1.0, "ok")],
)
def test_a_ttl_is_judged_by_how_late_a_renewal_would_be(ttl_s, late_s, verdict):
    leases = [Lease(id="1", records=1, ttl_s=100.0), Lease(id="2", records=1, ttl_s=ttl_s)]
    facts = replace(FACTS, leases=leases, pace=Pace(lag_s=late_s, request_s=0.0))
    assert check_leases(facts)[-1].verdict == verdict


@pytest.mark.parametrize("address", ["127.0.0.1:9000/x", "localhost:9000/x", "[::1]:9000/x"])
@pytest.mark.parametrize(
    ("daemons", "clients"),
    [("zmq://10.0.0.1:4710", ["a[1]@one"]), ("zmq://127.0.0.1:4710", ["a[1]@one", "b[2]@two"])],
)
def test_loopback_addresses_are_no_use_to_other_machines(address, daemons, clients):
    endpoint = replace(ENDPOINT, transport={"tcp": address}).instance(1)
    facts = replace(
        FACTS, endpoints=[endpoint], watching=[watching(name, "models") for name in clients]
    )
    (finding,) = check_addresses(facts, parse_url(daemons))
    assert finding.verdict == "warn"
    assert f"only its own host reaches {address}" in finding.found


def test_addresses_of_channels_are_judged_too_and_subjects_are_none():
    transports = [
        discovery.ZmqTransport(endpoint="tcp://*:9100"),
        discovery.ZmqBrokerTransport(
            xsub_endpoints=("tcp://h:1",), xpub_endpoints=("tcp://[::]:2",)
        ),
        discovery.NatsTransport(subject_prefix="localhost"),
    ]
    channels = [
        discovery.EventChannelSpec(namespace="n", topic="t", transport=one, instance_id=7).instance(
            1
        )
        for one in transports
    ]
    nats = replace(ENDPOINT, transport={"nats_tcp": "localhost"}).instance(1)
    facts = replace(FACTS, channels=channels, endpoints=[nats])
    findings = check_addresses(facts, parse_url("zmq://10.0.0.1:4710"))
    assert ["tcp://*:9100" in findings[0].found, "tcp://[::]:2" in findings[1].found] == [
        True,
        True,
    ]
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.7:9000/key", "10.0.0.7"),
        ("http://a.b:80/v1", "a.b"),
        ("tcp://[fe80::1]:1", "fe80::1"),
        ("tcp://[fe80", None),
        ("", None),
    ],
)
def test_the_host_of_an_address(address, host):
    assert host_of(address) == host


def test_who_only_looks_is_no_router():
    facts = replace(
        FACTS,
        endpoints=[ENDPOINT.instance(1)],
        watching=[watching("discoveryctl[1]@one", "endpoints")],
    )
    verdicts = {f.check: f.verdict for f in check_mismatches(facts)}
    assert verdicts["watched"] == "warn"


@pytest.mark.parametrize(
    ("scope", "near"),
    [
        (("models", "prod", "vlm"), "models/prod/vllm has 2"),
        (("models", "Prod", "vllm"), "models/prod/vllm has 2"),
        (("channels", "prod", "vllm"), "models/prod/vllm has 2"),  # the same names, another kind
        (("models", "staging"), None),
    ],
)
def test_what_was_meant_is_guessed_by_likeness(scope, near):
    models = [MODEL.instance(1), MODEL.instance(2)]
    facts = replace(FACTS, models=models, watching=[watching("r[1]@one", *scope)])
    (finding,) = [f for f in check_mismatches(facts) if f.check == "registered"]
    assert finding.verdict == "warn"
    assert finding.found.endswith(f"; {near}" if near else "nothing is registered there")


def test_many_findings_of_one_check_are_cut_and_counted():
    endpoints = [replace(ENDPOINT, endpoint=f"e{n}").instance(n + 1) for n in range(25)]
    found = [
        f for f in check_mismatches(replace(FACTS, endpoints=endpoints)) if f.check == "watched"
    ]
    assert len(found) == 11
    assert found[-1].found == "and 15 more"


async def test_events_for_the_daemons_own_host_only():
    (address,) = parse_url("zmq://10.0.0.1:4710")
    probe = Probe(address=address, findings=[], greeting={"events": "zmq://127.0.0.1:4711"})
    finding = await check_events(probe, 1.0)
    assert finding.verdict == "fail"
    assert "publishes at zmq://127.0.0.1:4711, for its own host" in finding.found
