"""The model plane of a daemon, as the requests that it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.artifactservice import ArtifactService
from discovery.catalogservice import CatalogService
from discovery.claimservice import ClaimService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from discovery.artifacts.node import Node
    from discovery.fields import Fields
    from discovery.names import Scope
    from discovery.registry import Registry
    from discovery.replica import Replica
    from discovery.store import Store

    Row = Mapping[str, object]


class Books:
    """Catalog and claims of one registry.

    Attributes:
        calls: requests that change something, by name.
        reads: requests that are answered from the mirror.
        tables: requests that are answered from the mirror by rows.
        works: requests about files on this node.
        artifacts: what does these.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        replica: Replica,
        *,
        max_record_bytes: int,
        now_ms: Callable[[], int],
        node: Node,
        daemon: str,
    ) -> None:
        self._catalog = CatalogService(
            store, registry, replica, max_record_bytes=max_record_bytes, now_ms=now_ms
        )
        self._claims = claims = ClaimService(store, registry, replica, now_ms=now_ms)
        self.artifacts = ArtifactService(node, replica, claims.all_by_last_used, daemon)
        self.calls: Mapping[str, Callable[[Fields], Awaitable[dict[str, object]]]]
        self.calls = {**self._catalog.calls, **claims.calls}
        self.reads: Mapping[str, Callable[[Fields], Row]]
        self.reads = {"find_model": self._catalog.get, "count_claims": self._counts}
        self.works: Mapping[str, Callable[[Fields], Awaitable[dict[str, object]]]]
        self.works = self.artifacts.calls
        self.tables: Mapping[str, Callable[[Fields], Sequence[Row]]] = {
            "models": self._catalog.list,
            "claims": claims.by_last_used,
            "claims_of": claims.of_name,
        }

    def check_scope(self, scope: Scope, tenant: str | None) -> None:
        """Raise `PermissionDeniedError` for a scope that a tenant does not see."""
        self._catalog.check_scope(scope, tenant)

    def claim_counts(self) -> Mapping[str, int]:
        """Return how many claims have each status."""
        return self._claims.counts()

    def _counts(self, fields: Fields) -> Row:
        fields.done()
        return self._claims.counts()
