"""docs/reference/api.md, written from signatures and docstrings of what `discovery` gives."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import textwrap
from typing import TYPE_CHECKING

import discovery
from discovery import DiscoveryError
from tests.docs.docstrings import attribute_docs, markdown_of
from tests.docs.signatures import calls_of, construction_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHAPTERS: Mapping[str, Sequence[str]] = {
    "Connecting": ["connect", "Discovery", "ConnectionState", "Failure"],
    "What to register": ["EndpointSpec", "ModelSpec", "EventChannelSpec"],
    "Where events are": [
        "NatsTransport",
        "ZmqTransport",
        "ZmqBrokerTransport",
        "EventTransportKind",
        "EventCodecKind",
    ],
    "What to look for": ["EndpointQuery", "ModelQuery", "EventChannelQuery", "Listing"],
    "Watching": ["WatchStream", "StreamState", "Added", "Removed", "Cause", "follow_field"],
    "What is found": ["EndpointInstance", "ModelInstance", "EventChannelInstance"],
    "Events": [
        "EventPublisher",
        "EventSubscriber",
        "Message",
        "Joined",
        "Lost",
        "Restarted",
        "Ended",
        "EventCounters",
    ],
    "Models": [
        "Catalog",
        "CatalogRecord",
        "CatalogStatus",
        "CatalogStream",
        "Claims",
        "Claimed",
        "AlreadyExists",
        "ClaimRecord",
        "ClaimStatus",
        "ClaimCounts",
        "ClaimStream",
        "ensure_model",
        "EnsuredModel",
        "ArtifactCache",
        "CacheReport",
        "CacheStatus",
        "DaemonArtifacts",
    ],
    "Identities": [
        "EndpointId",
        "ModelId",
        "EventChannelId",
        "Kind",
        "parse_id",
        "extract_endpoint_id",
        "extract_model_id",
        "extract_event_channel_id",
    ],
}
ENTERED = ["EventPublisher", "EventSubscriber", "ArtifactCache"]
"""Made by users, and no dataclasses: a connection is made by `connect`, a stream by `watch`."""

ALIASES = ["Spec", "Query", "Instance", "InstanceId", "Event", "EventItem", "EventTransport"]
ERRORS = [
    name
    for name in discovery.__all__
    if isinstance(kind := getattr(discovery, name), type) and issubclass(kind, DiscoveryError)
]

_INTRO = """# API reference

Made from the code by `python -m tests.docs`; do not edit. All names are to be had by
`from discovery import …`, and are stable. How they are used:
[for a worker's author](../worker.md), [for a router's author](../router.md)."""


def api_page() -> str:
    """The whole page."""
    parts = [_INTRO]
    for title, names in CHAPTERS.items():
        parts.append(f"## {title}")
        for name in names:
            parts += [f"### `{name}`", *_entry(name, getattr(discovery, name))]
    parts += ["## Unions", _aliases(), "## Errors", *_errors()]
    return "\n\n".join(parts) + "\n"


def _entry(name: str, what: object) -> Iterator[str]:
    if not isinstance(what, type):
        yield _code(*calls_of(what, name))
        yield markdown_of(what)
    elif issubclass(what, enum.Enum):
        yield markdown_of(what)
        yield _code(*(f"{name}.{member.name} = {member.value!r}" for member in what))
    else:
        yield from _class(what)


def _class(kind: type) -> Iterator[str]:
    is_made_by_users = dataclasses.is_dataclass(kind)
    is_made_by_users |= kind.__name__ in ENTERED or hasattr(kind, "_fields")
    if is_made_by_users:
        yield _code(construction_of(kind))
    yield markdown_of(kind, without=() if is_made_by_users else ("Args",))
    noted = [f"- `{name}`: {text}" for name, text in attribute_docs(kind).items()]
    members = [
        _item(_forms(kind, name, member), member)
        for name, member in vars(kind).items()
        if not name.startswith("_") and _is_member(member)
    ]
    if noted or members:
        yield "\n".join([*noted, *members])


def _is_member(member: object) -> bool:
    return inspect.isfunction(member) or isinstance(member, property | classmethod)


def _forms(kind: type, name: str, member: object) -> Sequence[str]:
    """How a member is read or called; one that goes by two names is its own second form."""
    match member:
        case property():
            return [f"{name}: {inspect.signature(member.fget).return_annotation}"]
        case classmethod():
            return calls_of(member.__func__, f"{kind.__name__}.{name}", width=None)
        case _ if member.__name__ != name:
            return [f"{name} = {member.__name__}"]
        case _:
            return calls_of(member, name, width=None)


def _item(forms: Sequence[str], member: object) -> str:
    text = "" if "=" in forms[0] and "(" not in forms[0] else markdown_of(member)
    lines = textwrap.indent(text, "  ")
    spans = ",\n  ".join(f"`{form}`" for form in forms)
    return f"- {spans}:\n{lines}" if text else f"- {spans}"


def _aliases() -> str:
    rows = ["| name | is one of |", "|---|---|"]
    for name in ALIASES:
        members = ", ".join(f"`{kind.__name__}`" for kind in getattr(discovery, name).__args__)
        rows.append(f"| `{name}` | {members} |")
    return "\n".join(rows)


def _errors() -> Iterator[str]:
    yield (
        "`str(error)` is the message. `error.code` is one of gRPC's names, `error.retryable` says "
        "whether the same\nrequest may succeed later."
    )
    rows = ["| error | is a | code | retryable | meaning |", "|---|---|---|---|---|"]
    kinds = [getattr(discovery, name) for name in ERRORS]
    for kind in kinds:
        parent = "`Exception`" if kind is DiscoveryError else f"`{kind.__base__.__name__}`"
        meaning = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
        again = "yes" if kind.retryable else "no"
        rows.append(f"| `{kind.__name__}` | {parent} | `{kind.code}` | {again} | {meaning} |")
    yield "\n".join(rows)
    for kind in kinds:
        if "__init__" in vars(kind):
            _, _, attributes = markdown_of(kind).partition("\n\n")
            yield f"`{kind.__name__}` tells more. {attributes}"


def _code(*lines: str) -> str:
    return textwrap.indent("\n".join(lines), "    ")
