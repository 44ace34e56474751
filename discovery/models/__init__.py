"""The model plane: which models exist, and who downloads them."""

from discovery.catalogrecord import TASKS, CatalogRecord, CatalogStatus
from discovery.claimrecord import PROVIDERS, ClaimRecord, ClaimStatus
from discovery.models.catalog import Catalog, CatalogStream
from discovery.models.claims import AlreadyExists, ClaimCounts, Claimed, Claims, ClaimStream
from discovery.objectname import object_name

__all__ = [
    "PROVIDERS",
    "TASKS",
    "AlreadyExists",
    "Catalog",
    "CatalogRecord",
    "CatalogStatus",
    "CatalogStream",
    "ClaimCounts",
    "ClaimRecord",
    "ClaimStatus",
    "ClaimStream",
    "Claimed",
    "Claims",
    "object_name",
]
