"""From a model's name to a registered instance, in one call.

    catalog ─▶ claim of the files in this cache ─▶ pull, or wait for who pulls ─▶ verified files
            ─▶ endpoint, model and event channel registered as one unit

Source: spec/models.md §4.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

from discovery.artifacts.report import CacheReport, CacheStatus
from discovery.artifacts.stopping import Progress
from discovery.artifacts.threads import in_thread
from discovery.artifacts.usage import CARD_FIELD
from discovery.claimrecord import ClaimStatus
from discovery.errors import DiscoveryError, FailedPreconditionError, UnavailableError
from discovery.models.artifacts import ArtifactCache, files_of, install, registered
from discovery.models.claims import Claimed
from discovery.names import shown
from discovery.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from discovery.artifacts.manifest import Manifest
    from discovery.artifacts.wanted import Wanted
    from discovery.catalogrecord import CatalogRecord
    from discovery.claimrecord import ClaimRecord
    from discovery.client import Discovery
    from discovery.instance import Instance
    from discovery.jsonvalue import Json
    from discovery.spec import EndpointSpec, EventChannelSpec, Spec

_GIVE_UP_S: Final = 1.0
_MOST_MESSAGE: Final = 1000


@dataclass(slots=True, eq=False)
class EnsuredModel:
    """A model whose files are here, and which is registered. `async with` ends both.

    Attributes:
        record: of the catalog.
        path: the folder of its files, which are not evicted before `aclose` or the end of this
            process.
        manifest: what its files are.
        instances: what was registered: endpoint, model and event channel, as far as asked for.
    """

    record: CatalogRecord
    path: Path
    manifest: Manifest
    instances: Sequence[Instance]
    _d: Discovery = field(repr=False)
    _use: ExitStack = field(repr=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Unregister what was registered, and let go of the files. Closing again does nothing."""
        instances, self.instances = self.instances, ()
        try:
            for instance in instances:
                await self._d.unregister(instance)
        finally:
            await in_thread(lambda _: self._use.close())


async def ensure_model(
    d: Discovery,
    name: str,
    *,
    version: int | None = None,
    endpoint: EndpointSpec | None = None,
    card: Mapping[str, object] | None = None,
    channel: EventChannelSpec | None = None,
    cache: ArtifactCache | None = None,
    source: str | None = None,
    credential_alias: str | None = None,
    progress: Progress | None = None,
) -> EnsuredModel:
    """Have the files of a model here, and serve it: what a worker calls when it starts.

    Of all processes that ask for it on one cache, one pulls and the others wait; if it dies, one
    of them takes over. If any step fails, nothing of the later ones can be seen. Files that are
    here are verified by their names and sizes; `ArtifactCache.inspect` reads them too.

    Args:
        d: the registry.
        name: of a model of the catalog.
        version: None is the highest.
        endpoint: where this process serves it; with None nothing is registered.
        card: of the model, for routers. `display_name`, `catalog_key` and `artifact` are added
            where it does not say them.
        channel: an event channel that is registered with it.
        cache: the cache of this node; None is the one that the variables name.
        source: URL of the files, or path of their folder; None is what the catalog says, or the
            setting.
        credential_alias: of the secret for the source; None is what the catalog says.
        progress: is told how far this has got.

    Raises `NotFoundError` for a model that is not in the catalog, `FailedPreconditionError` for
    one that is retired, and what `ArtifactCache.pull` and `Discovery.register_all` raise.
    """
    record = await registered(d, name, version)
    if record.is_retired:
        raise FailedPreconditionError(f"model {shown(record.key)}: retired, and served no more")
    cache, told = cache or ArtifactCache(), progress or Progress()
    wanted = files_of(record, cache.node, source, credential_alias)
    cache_id = await cache.cache_id()
    claim = (wanted.claim_in(cache_id), wanted.provider)
    use = ExitStack()
    try:
        report = await _provided(d, cache, wanted, claim, told, use)
        await d.claims.touch(claim[0])
        artifact = {"cache": cache_id, "entry": wanted.entry}
        specs = _specs(record, artifact, endpoint, card, channel)
        instances = await d.register_all(specs) if specs else ()
    except BaseException:
        await in_thread(lambda _: use.close())
        raise
    assert report.manifest is not None  # noqa: S101 - it is installed
    return EnsuredModel(record, report.path, report.manifest, instances, d, use)


def _specs(
    record: CatalogRecord,
    artifact: Mapping[str, object],
    endpoint: EndpointSpec | None,
    card: Mapping[str, object] | None,
    channel: EventChannelSpec | None,
) -> Sequence[Spec]:
    specs: list[Spec] = []
    if endpoint is not None:
        said = {"display_name": record.name, "catalog_key": record.key, CARD_FIELD: artifact}
        model = ModelSpec(
            namespace=endpoint.namespace,
            component=endpoint.component,
            endpoint=endpoint.endpoint,
            card=cast("Mapping[str, Json]", {**said, **(card or {})}),
        )
        specs += [endpoint, model]
    return specs if channel is None else [*specs, channel]


async def _provided(
    d: Discovery,
    cache: ArtifactCache,
    wanted: Wanted,
    claim: tuple[str, str],
    progress: Progress,
    use: ExitStack,
) -> CacheReport:
    """Have the files here, and in use until `use` is closed."""
    while True:
        while not await _is_downloaded(d, cache, wanted, claim, progress):
            pass
        report = await in_thread(
            lambda stop: use.enter_context(cache.node.cache.used(wanted.entry, stop))
        )
        if report.status is CacheStatus.INSTALLED:
            return report
        await in_thread(lambda _: use.close())  # somebody dropped it in between


async def _is_downloaded(
    d: Discovery,
    cache: ArtifactCache,
    wanted: Wanted,
    claim: tuple[str, str],
    progress: Progress,
) -> bool:
    """Wait until the files are here, and pull them if that is this process's to do.

    False says that another process was faster: what it has made of the claim may look as before.
    """
    async with d.claims.wait(*claim) as states:
        async for state in states:
            status = state and state.status
            if status is ClaimStatus.DOWNLOADING:
                progress.begin("waiting", f"instance {(state and state.owner) or 0:x}")
                continue
            is_done = status is ClaimStatus.DOWNLOADED
            if is_done and (await cache.inspect(wanted.entry)).status is CacheStatus.INSTALLED:
                return True
            if not await _is_ours(d, claim, state):
                return False
            await _pull(d, cache, wanted, claim, progress)
            return True
    raise UnavailableError(f"claim {shown(claim[0])}: nobody tells of it any more")


async def _is_ours(d: Discovery, claim: tuple[str, str], state: ClaimRecord | None) -> bool:
    """Claim what nobody downloads; say whether this call did."""
    if state is None:
        return isinstance(await d.claims.try_claim(*claim), Claimed)
    if state.status is ClaimStatus.DOWNLOADED:
        return await d.claims.try_reset_missing(*claim)
    return await d.claims.try_reset_error(*claim)


async def _pull(
    d: Discovery,
    cache: ArtifactCache,
    wanted: Wanted,
    claim: tuple[str, str],
    progress: Progress,
) -> None:
    """Pull as the claim's owner, and say how that ended."""
    try:
        await install(d, cache.node, wanted, is_wanted=lambda _: False, progress=progress)
    except asyncio.CancelledError:
        with suppress(DiscoveryError, TimeoutError):
            async with asyncio.timeout(_GIVE_UP_S):
                await d.claims.set_status(*claim, ClaimStatus.ERROR, "given up")
        raise
    except DiscoveryError as error:
        with suppress(DiscoveryError):  # the first one says what is wrong
            await d.claims.set_status(*claim, ClaimStatus.ERROR, str(error)[:_MOST_MESSAGE])
        raise
    with suppress(FailedPreconditionError):  # we were taken for dead, and another finds them here
        await d.claims.set_status(*claim, ClaimStatus.DOWNLOADED)
