"""`discoveryctl doctor`: finds what is wrong without anything having failed."""

from __future__ import annotations

import asyncio
import shutil
import textwrap
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import click

from discovery.cli.checks import check_daemon, check_leases
from discovery.cli.context import Context
from discovery.cli.exits import Exit
from discovery.cli.facts import OWN_NAMESPACE, gather
from discovery.cli.findings import Finding, Verdict, fail, ok
from discovery.cli.mismatches import check_mismatches
from discovery.cli.notes import printable
from discovery.cli.output import Output, Shape
from discovery.cli.probing import Probe, check_events, check_same_registry, probe
from discovery.cli.reach import check_addresses
from discovery.clock import now_ms
from discovery.errors import DiscoveryError, InvalidArgumentError
from discovery.query import EndpointQuery
from transports.address import parse_url
from transports.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.client import Discovery
    from transports.address import Address

_COLOURS: Final = {Verdict.OK: "32", Verdict.WARN: "33", Verdict.FAIL: "31"}
_INDENT: Final = 18


@click.command()
@click.pass_obj
def doctor(context: Context, /) -> int:
    """Find out why something does not work, though nothing says so.

    Looks from this machine: at the way to the daemon, at the daemon, at what is registered against
    what is watched, at leases and addresses. Takes about two seconds and changes nothing.

    The exit code is 0 when all is well, 6 when something is not, 3 when no daemon is reached.
    """
    return context.run(_examine(context))


async def _examine(context: Context) -> Exit:
    findings = list[Finding]()
    probes = [await probe(address, context.timeout_s) for address in _addresses(context.url)]
    reached = [one for one in probes if one.greeting]
    for one in probes:
        findings += one.findings
    if reached:
        findings += check_same_registry(reached)
        try:
            async with context.connect() as d:
                findings += await _look(context, d, reached)
        except DiscoveryError as error:  # what was found so far is worth more than that alone
            findings.append(fail("answers", str(error), "ask again; see discoveryd's log"))
    _tell(context.output, findings)
    if not reached:
        return Exit.UNREACHABLE
    is_well = all(finding.verdict is Verdict.OK for finding in findings)
    return Exit.OK if is_well else Exit.DEGRADED


async def _look(context: Context, d: Discovery, reached: Sequence[Probe]) -> Sequence[Finding]:
    facts = await gather(d)
    return [
        *[await check_events(one, context.timeout_s) for one in reached],
        await _check_watch(d, context.timeout_s),
        *check_daemon(facts, version("discoveryd"), now_ms()),
        *check_mismatches(facts),
        *check_leases(facts),
        *check_addresses(facts, [one.address for one in reached]),
    ]


def _addresses(url: str) -> Sequence[Address]:
    try:
        addresses = parse_url(url)
    except TransportError as error:
        raise InvalidArgumentError(f"url: {error}") from error
    if any(address.scheme not in {"zmq", "nats"} for address in addresses):
        raise InvalidArgumentError(
            f"url {url!r}: expected that of a daemon, zmq://host:port or nats://host:port"
        )
    return addresses


async def _check_watch(d: Discovery, within_s: float) -> Finding:
    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    try:
        async with (
            asyncio.timeout(within_s),
            d.watch(EndpointQuery(namespace=OWN_NAMESPACE)) as stream,
        ):
            await stream.synced()
    except TimeoutError:
        do = "let the events port through, the one after the request port unless --events says"
        return fail("watch", f"a watch is not synced within {within_s:g} s", do)
    return ok("watch", f"synced within {(loop.time() - begun_at) * 1000:.0f} ms")


def _tell(output: Output, findings: Sequence[Finding]) -> None:
    rows = [
        {"check": f.check, "verdict": str(f.verdict), "found": f.found, "do": f.do}
        for f in findings
    ]
    match output.shape:
        case Shape.TABLE | Shape.WIDE:
            width = min(shutil.get_terminal_size().columns, 120)
            for finding in findings:
                _tell_one(output, finding, width)
        case Shape.NAME:
            for check in dict.fromkeys(f.check for f in findings if f.verdict is not Verdict.OK):
                output.line(check)
        case _:
            output.many(rows, ("check", "verdict", "found", "do"))


def _tell_one(output: Output, finding: Finding, width: int) -> None:
    verdict = f"{finding.verdict:<5}"
    if output.is_coloured:
        verdict = f"\x1b[{_COLOURS[finding.verdict]}m{verdict}\x1b[0m"
    first = f"{verdict} {finding.check:<11} "
    texts = [finding.found, *([f"do: {finding.do}"] if finding.do else [])]
    for text in texts:
        for line in textwrap.wrap(printable(text), width - _INDENT, break_long_words=False):
            output.line(f"{first}{line}")
            first = " " * _INDENT
