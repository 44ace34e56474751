"""The files of models on the node of the daemon that answers: `d.artifacts`.

Source: spec/models.md §3.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, TypeVar

from discovery.artifacts.manifest import manifest_of
from discovery.artifacts.reportwire import report_from_wire
from discovery.errors import InvalidArgumentError, error_from_wire
from discovery.fields import Fields
from discovery.models.asking import unreadable
from discovery.wire import decode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.artifacts.manifest import Manifest
    from discovery.artifacts.report import CacheReport
    from discovery.artifacts.stopping import Progress
    from discovery.models.asking import Asking

T = TypeVar("T")


class DaemonArtifacts:
    """The cache of the node of the daemon that answers; reached as `d.artifacts`.

    For an operator's tool: workers have their own node's, `ArtifactCache`. What was begun goes on
    at the daemon when its caller goes; it ends with the daemon.

    Raises, beside what each method says, what `ArtifactCache` raises, `NotFoundError` for a model
    that is not in the catalog, and `FailedPreconditionError` when another daemon answers meanwhile.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def pull(
        self,
        name: str,
        version: int | None = None,
        *,
        source: str | None = None,
        credential_alias: str | None = None,
        progress: Progress | None = None,
    ) -> Manifest:
        """Install a model's files on the daemon's node; see `ArtifactCache.pull`."""
        given = {"source": source, "credential_alias": credential_alias}
        result = await self._worked("pull_artifact", progress, name=name, version=version, **given)
        return _read(manifest_of, result.get("manifest"))

    async def inspect(
        self, name: str, version: int | None = None, *, is_deep: bool = False
    ) -> CacheReport:
        """Say how a model's files are on the daemon's node; see `ArtifactCache.inspect`."""
        result = await self._worked("inspect_artifact", name=name, version=version, deep=is_deep)
        return _read(report_from_wire, result.get("report"))

    async def drop(self, name: str, version: int | None = None) -> bool:
        """Remove a model's files from the daemon's node; say whether there were any."""
        result = await self._worked("drop_artifact", name=name, version=version)
        return _read(lambda value: Fields("answer", value).flag("removed"), result)

    async def list(self) -> Sequence[CacheReport]:
        """Say how the models are on the daemon's node whose files are there.

        Those that the caller finds in the catalog, retired ones too; without their manifests.
        """
        result = await self._worked("list_artifacts")
        return _read(_reports_from_wire, result)

    async def _worked(
        self, op: str, progress: Progress | None = None, **fields: object
    ) -> Mapping[str, object]:
        """Ask until the work is done, always the daemon that was asked first; return its result."""
        fields["mark"] = secrets.token_hex(8)
        texts: list[str] = []
        while True:
            answer = await self._asking.read(op, part=len(texts), **fields)
            fields["daemon"], told = answer.get("daemon"), answer.get("progress")
            if progress is not None and isinstance(told, dict):
                progress.take(told)
            if answer.get("failed") is not None:
                raise error_from_wire(answer["failed"])
            if answer.get("done"):
                parts = answer.get("parts")
                texts.append(str(answer.get("part")))
                if type(parts) is not int or len(texts) >= parts:
                    return _read(decode_object, "".join(texts).encode())


def _reports_from_wire(value: object) -> Sequence[CacheReport]:
    return Fields("answer", value).items("reports", lambda _, report: report_from_wire(report))


def _read(read: Callable[[Any], T], value: object) -> T:
    try:
        return read(value)
    except InvalidArgumentError as error:
        raise unreadable(error) from error
