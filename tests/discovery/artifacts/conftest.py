"""What all tests of files need: no variable of the machine, and the thread that fsspec has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import fsspec.asyn
import pytest

from tests.support.buckets import S3, Buckets, Google, running
from tests.support.hub import Hub, running_hub

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = ("AWS_", "BOTO", "CLOUDSDK_", "GCE_", "GOOGLE_", "HF_", "HUGGING", "STORAGE_")


@pytest.fixture(scope="session", autouse=True)
def fsspec_is_there() -> None:
    """fsspec's thread and sockets, one set for the whole process, are there before any test."""
    fsspec.asyn.get_loop()


@pytest.fixture(autouse=True)
def _nothing_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No proxy, no secret and no account of whoever runs the tests, and no look for any."""
    for name in os.environ:
        if name.startswith(_OTHERS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "nobody"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub of its own."""
    import huggingface_hub  # noqa: PLC0415 - takes a while

    with running_hub() as one:
        yield one
        huggingface_hub.close_session()  # which the library keeps for all that use it


@pytest.fixture(params=[S3, Google], ids=["s3", "gs"])
def buckets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    """Buckets of its own, where the libraries look for them."""
    with running(request.param()) as some:
        monkeypatch.setenv(some.variable, some.url)
        yield some
