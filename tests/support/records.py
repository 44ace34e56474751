"""Short ways to say entries, batches, items and messages in protocol tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.instance import EndpointInstance, ModelInstance
from discovery.protocol import (
    Beat,
    Commit,
    Event,
    Item,
    ItemChange,
    ScopeHead,
    SyncAnswer,
    item_digest,
)
from discovery.store import Batch, Change, Entry
from discovery.wire import encode_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from discovery.events import Cause
    from discovery.names import Scope

KIND, NS, COMP, EP = ("models",), ("models", "n"), ("models", "n", "c"), ("models", "n", "c", "e")
ENDPOINTS = ("endpoints", "n", "c", "e")


def model_key(owner: int, endpoint: str = "e", suffix: str = "") -> str:
    return f"v1/mdc/n/c/{endpoint}/{owner:x}" + (f"/{suffix}" if suffix else "")


def endpoint_key(owner: int, endpoint: str = "e") -> str:
    return f"v1/instances/n/c/{endpoint}/{owner:x}"


def model(owner: int, name: str, endpoint: str = "e", suffix: str = "", **card: Any) -> bytes:
    return encode_record(model_instance(owner, name, endpoint, suffix, **card))


def model_instance(
    owner: int, name: str, endpoint: str = "e", suffix: str = "", **card: Any
) -> ModelInstance:
    return ModelInstance(
        namespace="n",
        component="c",
        endpoint=endpoint,
        instance_id=owner,
        suffix=suffix or None,
        card={"display_name": name, **card},
    )


def endpoint_instance(owner: int, port: int = 1, endpoint: str = "e") -> EndpointInstance:
    return EndpointInstance(
        namespace="n",
        component="c",
        endpoint=endpoint,
        instance_id=owner,
        transport={"tcp": f"h:{port}"},
    )


def put(revision: int, key: str, value: bytes, created: int | None = None) -> Change:
    return Change(key, Entry(key, value, revision, created or revision, None))


def put_model(revision: int, owner: int, name: str, created: int | None = None) -> Change:
    return put(revision, model_key(owner), model(owner, name), created)


def put_endpoint(revision: int, owner: int, port: int = 1, endpoint: str = "e") -> Change:
    value = encode_record(endpoint_instance(owner, port, endpoint))
    return put(revision, endpoint_key(owner, endpoint), value)


def gone(key: str, cause: Cause | None = None) -> Change:
    return Change(key, None, cause)


def batch(revision: int, *changes: Change) -> Batch:
    return Batch(revision, changes)


# ---- what a follower gets; its items are endpoints 1, 2, ... unless said otherwise


def item(owner: int, revision: int, port: int = 1) -> Item:
    return Item(endpoint_key(owner), revision, endpoint_instance(owner, port))


def model_item(owner: int, revision: int, name: str, endpoint: str = "e") -> Item:
    instance = model_instance(owner, name, endpoint)
    return Item(model_key(owner, endpoint), revision, instance)


def unreadable_item(owner: int, revision: int) -> Item:
    return Item(endpoint_key(owner), revision, None)


def came(new: Item) -> ItemChange:
    return ItemChange(new.key, new)


def went(key: str, cause: Cause | None = None) -> ItemChange:
    return ItemChange(key, None, cause)


def digest(*items: Item) -> int:
    return sum(item_digest(i.key, i.revision) for i in items) % 2**64


def event(revision: int, prev: int, *changes: ItemChange, **fields: Any) -> Event[ItemChange]:
    said: dict[str, Any] = {
        "daemon": "d",
        "epoch": "e1",
        "scope": ENDPOINTS,
        "parts": (1, 1, 1, 1),
        "part": 0,
        "is_doubtful": False,
        **fields,
    }
    return Event(revision=revision, prev=(prev,) * 4, changes=changes, **said)


def beat(
    number: int,
    head: int,
    window: int,
    listed: Iterable[tuple[Scope, int, int]] = (),
    **fields: Any,
) -> Beat:
    said: dict[str, Any] = {
        "daemon": "d",
        "epoch": "e1",
        "is_recovering": False,
        "age_s": 0.0,
        "time_s": 0.0,
        **fields,
    }
    scopes = [ScopeHead(*each) for each in listed]
    return Beat(number=number, head=head, window=window, scopes=scopes, **said)


def answer(
    number: int,
    revision: int,
    items: Sequence[Item] = (),
    *,
    commits: Sequence[Commit[ItemChange]] | None = None,
    **fields: Any,
) -> SyncAnswer[ItemChange]:
    """Return a snapshot of `items` or, with `commits`, a backfill that leads to them."""
    said: dict[str, Any] = {
        "daemon": "d",
        "epoch": "e1",
        "digest": digest(*items),
        "is_recovering": False,
        "is_doubtful": False,
        "age_s": 0.0,
        "time_s": 0.0,
        **fields,
    }
    snapshot = None if commits is not None else [came(each) for each in items]
    return SyncAnswer(number=number, revision=revision, commits=commits, snapshot=snapshot, **said)
