"""The model plane: which models exist, who downloads them, and their files on each node."""

from discovery.catalogrecord import TASKS, CatalogRecord, CatalogStatus
from discovery.claimrecord import PROVIDERS, ClaimRecord, ClaimStatus
from discovery.models.artifacts import ArtifactCache, CacheReport, CacheStatus
from discovery.models.catalog import Catalog, CatalogStream
from discovery.models.claims import AlreadyExists, ClaimCounts, Claimed, Claims, ClaimStream
from discovery.models.daemonartifacts import DaemonArtifacts
from discovery.models.ensure import EnsuredModel, ensure_model
from discovery.objectname import object_name

__all__ = [
    "PROVIDERS",
    "TASKS",
    "AlreadyExists",
    "ArtifactCache",
    "CacheReport",
    "CacheStatus",
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
    "DaemonArtifacts",
    "EnsuredModel",
    "ensure_model",
    "object_name",
]
