"""Where the soak's workers serve, and what its routers ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery import EndpointQuery, EventChannelQuery, ModelQuery

if TYPE_CHECKING:
    import random

    from discovery.query import Query

_NAMES = {
    "namespace": [f"n{number}" for number in range(4)],
    "component": [f"c{number}" for number in range(3)],
    "endpoint": [f"e{number}" for number in range(4)],
}
_GIVEN = (0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
"""How many names queries give: one of ten is about everything."""


def some_place(rng: random.Random) -> dict[str, str]:
    """One of the 48 endpoints."""
    return {level: rng.choice(names) for level, names in _NAMES.items()}


def some_query(rng: random.Random) -> Query:
    """Everything of a kind, a namespace, a component or an endpoint."""
    kind = rng.choice((EndpointQuery, EndpointQuery, ModelQuery, ModelQuery, EventChannelQuery))
    given = min(rng.choice(_GIVEN), 2 if kind is EventChannelQuery else 3)
    return kind(**dict(list(some_place(rng).items())[:given]))
