"""Rules that save time or messages; another rule makes good what happens without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.feed import Feed
from discovery.follower import Follower
from discovery.proof import Proof
from tests.simulation import routers
from tests.simulation.bugs.planting import naming

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

SPARE: dict[str, Plant] = {}
spare = naming(SPARE)


@spare("no audit")
def _(patch: Patch) -> None:
    """A wrong view was changed by an EVENT, so beats list its scope; see test_follower, too."""

    def by_answer(original: Any, self: Proof, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self.compared_at = float("inf")

    patch.around(Proof, "by_answer", by_answer)


@spare("no backfills")
def _(patch: Patch) -> None:
    """A snapshot says it too, with more bytes."""
    patch.always(Feed, "backfill", None)


@spare("wishes for a revision ignored")
def _(patch: Patch) -> None:
    """The next BEAT brings a router there."""
    patch.always(Follower, "want", None)


@spare("goodbyes ignored")
def _(patch: Patch) -> None:
    """Three BEATs that stay away say the same, later."""
    patch.set(routers, "is_goodbye", lambda *_: False)
