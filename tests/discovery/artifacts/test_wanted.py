"""Which files a model of the catalog needs: which entry, which source, whose secret."""

from __future__ import annotations

import pytest

from discovery.artifacts.entry import entry_of
from discovery.artifacts.manifest import Described
from discovery.artifacts.wanted import Wanted, wanted_by
from discovery.catalogrecord import CatalogRecord, described
from discovery.errors import InvalidArgumentError
from discovery.modelname import ModelName

SETTING = "https://mirror.example/{name}/v{version}/"


def record(name: str = "org/m-3.1", version: int = 2, tenant: str | None = None, **fields):
    given = {"model_type": "llm", "backend": "vllm", "task": "generate"}
    given |= {"base_model": None, "artifact_path": None, "config": None}
    return described(ModelName.of(tenant, name, version), now="", **{**given, **fields})


def wanted(of: CatalogRecord, source=None, alias=None, setting=None) -> Wanted:
    return wanted_by(of, source, alias, setting)


def test_files_are_called_after_their_model():
    made = wanted(record(tenant="t"), "hf://org/m")
    assert made.entry == entry_of("org/m-3.1", 2, "t")
    assert made.claim_in("host:/models") == "host:/models/HuggingFace/t::org/m-3.1@2"
    assert made.model.key == "t::org/m-3.1::2"


def test_the_source_is_the_given_one_else_the_records_else_the_settings():
    with_path = record(artifact_path="gs://bucket/m")
    assert wanted(with_path, "hf://org/m", setting=SETTING).url == "hf://org/m"
    assert wanted(with_path, setting=SETTING).url == "gs://bucket/m"
    assert wanted(record(), setting=SETTING).url == "https://mirror.example/org/m-3.1/v2/"
    assert wanted(record(), "/models/m").url == "file:///models/m"


def test_without_a_source_it_says_where_to_name_one():
    with pytest.raises(InvalidArgumentError) as caught:
        wanted(record())
    assert str(caught.value) == (
        "model 'org/m-3.1::2': no source; give one, register the model with an artifact_path, or "
        "set artifacts.source"
    )


@pytest.mark.parametrize("source", ["relative", "https://user:pw@host/m", 3])
def test_a_source_that_is_none_is_refused(source):
    with pytest.raises(InvalidArgumentError, match="source "):
        wanted(record(), source)


def test_the_alias_is_the_given_one_else_the_records():
    with_alias = record(config={"credential_alias": "theirs"})
    assert wanted(with_alias, "hf://m", "mine").alias == "mine"
    assert wanted(with_alias, "hf://m").alias == "theirs"
    assert wanted(record(), "hf://m").alias is None


@pytest.mark.parametrize("alias", ["", "a b", 3])
def test_an_alias_that_is_none_is_refused(alias):
    with pytest.raises(InvalidArgumentError, match="credential_alias"):
        wanted(record(), "hf://m", alias)
    with pytest.raises(InvalidArgumentError, match="credential_alias"):
        wanted(record(config={"credential_alias": alias}), "hf://m")


def test_the_manifest_says_what_the_catalog_says():
    config = {"engine": "candle", "dimensions": 384, "revision": "v1"}
    made = wanted(record(config=config, task="embed"), "hf://org/m")
    assert made.described == Described(
        name=made.entry, source="hf://org/m@v1", task="embed", engine="candle", dimensions=384
    )


@pytest.mark.parametrize("config", [{}, {"engine": "", "dimensions": -1}, {"engine": 3}])
def test_what_the_catalog_does_not_say_has_defaults(config):
    made = wanted(record(config={"dimensions": True, **config}), "hf://org/m")
    assert (made.described.engine, made.described.dimensions) == ("vllm", 0)


def test_a_revision_is_that_of_a_repository_which_names_none():
    pinned = record(config={"revision": "refs/pr/1"})
    assert wanted(pinned, "hf://org/m").url == "hf://org/m@refs%2Fpr%2F1"
    assert wanted(pinned, "hf://org/m@v2").url == "hf://org/m@v2"
    assert wanted(pinned, "https://host/m/").url == "https://host/m/"


@pytest.mark.parametrize("revision", ["", 3])
def test_a_revision_that_is_no_text_is_refused(revision):
    with pytest.raises(InvalidArgumentError, match=r"config.revision .*: expected a text"):
        wanted(record(config={"revision": revision}), "hf://org/m")
