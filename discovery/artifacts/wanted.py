"""Which files a model of the catalog needs: under which name, from where, with whose secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.artifacts.credentials import check_alias
from discovery.artifacts.manifest import Described
from discovery.artifacts.opening import check_source, provider_of
from discovery.artifacts.usage import claim_name, model_entry
from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from discovery.catalogrecord import CatalogRecord
    from discovery.modelname import ModelName

SETTING = "artifacts.source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The files of one model.

    Attributes:
        model: whose they are.
        url: their source.
        alias: of the secret that the source wants, None for none.
        described: what the manifest is to say of them.
    """

    model: ModelName
    url: str
    alias: str | None
    described: Described

    @property
    def entry(self) -> str:
        """What they are called in a cache."""
        return self.described.name

    @property
    def provider(self) -> str:
        """Of whom they are, as claims say it."""
        return provider_of(self.url)

    def claim_in(self, cache_id: str) -> str:
        """Return the name of the claim of their download into a cache."""
        return claim_name(cache_id, self.provider, self.model)


def wanted_by(record: CatalogRecord, source: object, alias: object, setting: str | None) -> Wanted:
    """Return which files a model needs.

    Args:
        record: the model. Its `artifact_path` is its source, and its `config` may have
            `credential_alias`, and `revision`, `engine` and `dimensions` for the manifest.
        source: where else they are to come from.
        alias: of another secret than the record's.
        setting: a source for models that have none; `{name}` and `{version}` stand for theirs.

    Raises `InvalidArgumentError` when there is no source, or what is said of it is wrong.
    """
    if setting is not None:
        setting = setting.replace("{name}", record.name).replace("{version}", str(record.version))
    url = source or record.artifact_path or setting
    if not url:
        raise InvalidArgumentError(
            f"model {shown(record.key)}: no source; give one, register the model with an "
            f"artifact_path, or set {SETTING}"
        )
    url = _at_revision(check_source(url), record.config.get("revision"))
    alias = check_alias(alias) or check_alias(record.config.get("credential_alias"))
    engine, dimensions = record.config.get("engine"), record.config.get("dimensions")
    return Wanted(
        model=record.model,
        url=url,
        alias=alias,
        described=Described(
            name=model_entry(record.model),
            source=url,
            task=record.task,
            engine=engine if isinstance(engine, str) and engine else record.backend,
            dimensions=dimensions if type(dimensions) is int and dimensions >= 0 else 0,
        ),
    )


def _at_revision(url: str, revision: object) -> str:
    """Return the URL of a repository of Hugging Face at the revision that a record names."""
    scheme, _, path = url.partition("://")
    if scheme != "hf" or revision is None or "@" in path:
        return url
    if not isinstance(revision, str) or not revision:
        raise InvalidArgumentError(f"config.revision {shown(revision)}: expected a text")
    return f"{url}@{revision.replace('/', '%2F')}"
