"""Requests as workers send them, made beforehand: worker number 0, 1, 2, …"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from load import load

from transports.codec import MSGPACK
from transports.frame import pack

if TYPE_CHECKING:
    import discovery

_CARD = json.loads(
    (Path(__file__).parent.parent / "examples/models/qwen3-0.6b/card.json").read_text()
)
_ENDPOINTS = 50
_STRIDE = 7919  # so that changes one after the other are of workers all over the fleet


class Workers:
    """A fleet of workers, each an instance of an endpoint, and how far the requests of each got.

    Args:
        endpoints: over which they are spread.
    """

    def __init__(self, endpoints: int = _ENDPOINTS) -> None:
        self.count = 0
        self._endpoints = endpoints
        self._sequences: Counter[int] = Counter()
        self.changed = 0
        """Number of the last change."""

    def come(self, port: int, count: int) -> None:
        """Register until there are `count`."""
        new = range(self.count, count)
        load(port, [grant(number) for number in new])
        load(port, [self._register(number, 0) for number in new])
        self.count = count

    def changes(self, count: int) -> list[bytes]:
        """Return requests that change one endpoint each: `count` events, numbered on and on."""
        first, self.changed = self.changed + 1, self.changed + count
        return [
            self._register(number * _STRIDE % self.count, number)
            for number in range(first, first + count)
        ]

    def _register(self, worker: int, change: int) -> bytes:
        self._sequences[worker] += 1
        return register(worker, self._sequences[worker], change, endpoints=self._endpoints)


def grant(worker: int) -> bytes:
    return _request("grant", worker, ttl_s=3600.0)


def keep_alive(worker: int) -> bytes:
    return _request("keep_alive", worker)


def register(
    worker: int,
    sequence: int = 1,
    change: int = 0,
    *,
    has_model: bool = False,
    endpoints: int = _ENDPOINTS,
) -> bytes:
    """Register a worker's endpoint, whose address carries the number of this change."""
    place = {
        "namespace": "bench",
        "component": "vllm",
        "endpoint": f"generate{worker % endpoints}",
    }
    endpoint = {
        **place,
        "kind": "endpoints",
        "transport": {"tcp": f"10.0.0.7:9000/{change}/{worker:x}"},
        "device_type": "cuda",
    }
    model = {**place, "kind": "models", "card": _CARD}
    specs = [endpoint, model] if has_model else [endpoint]
    return _request("register", worker, sequence=sequence, specs=specs)


def try_claim(worker: int, model: int, sequence: int = 1) -> bytes:
    """Claim the download of a model."""
    name, mark = f"org/model-{model}", f"{worker:x}/{sequence:x}"
    fields = {"sequence": sequence, "provider": "File", "name": name, "mark": mark}
    return _request("try_claim", worker, **fields)


def change_of(instance: discovery.EndpointInstance) -> int:
    """Return the number of the change that gave an endpoint its address."""
    return int(instance.transport["tcp"].split("/")[1])


def _request(op: str, worker: int, **fields: object) -> bytes:
    who = {"instance_id": 7_919_191_919 + worker, "token": f"{worker:032x}"}
    return pack(MSGPACK, {"op": op, **who, **fields})
