"""Requests about claims, answered by a daemon."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from discovery.bookkeys import CLAIMS, claim_key, claim_owner_key
from discovery.claimrecord import (
    ClaimStatus,
    check_message,
    check_model_name,
    check_provider,
    check_status,
    claim_to_wire,
    decode_claim,
    phase_in,
    status_of,
)
from discovery.claimrules import (
    Claiming,
    delete,
    object_names,
    places,
    release,
    set_status,
    touch,
    try_claim,
    try_reset,
)
from discovery.errors import FailedPreconditionError, InvalidArgumentError, RecordError
from discovery.objectname import object_name
from discovery.sessions import caller_of
from discovery.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from discovery.claimrecord import ClaimRecord
    from discovery.claimrules import Decision
    from discovery.fields import Fields
    from discovery.registry import Registry
    from discovery.replica import Replica
    from discovery.sessions import Caller
    from discovery.store import Entry, Store

logger = logging.getLogger(__name__)

_MOST_MARK = 64


class ClaimService:
    """The claims of one registry.

    Args:
        store: one without guards keeps no claims: each change is refused.
        registry: has the sessions of those who ask.
        replica: what is decided on.
        now_ms: Unix time in ms, for stamps.
    """

    def __init__(
        self, store: Store, registry: Registry, replica: Replica, *, now_ms: Callable[[], int]
    ) -> None:
        self._store, self._registry, self._replica = store, registry, replica
        self._now_ms = now_ms

    @property
    def calls(self) -> Mapping[str, Callable[[Fields], Awaitable[dict[str, object]]]]:
        """The requests that change something, by name."""
        return {
            "try_claim": self._try_claim,
            "reset_claim": partial(self._reset, ClaimStatus.ERROR),
            "reset_missing": partial(self._reset, ClaimStatus.DOWNLOADED),
            "release_claim": self._release,
            "set_claim_status": self._set_status,
            "touch_claim": self._touch,
            "delete_claim": self._delete,
        }

    # ---- reading

    def of_name(self, fields: Fields) -> Sequence[Mapping[str, object]]:
        """Return the claims of a name, of each provider that has one, in the order of look-up.

        A record that cannot be read is an `error` in its row.
        """
        name = check_model_name(fields.raw("name"))
        fields.done()
        rows: list[Mapping[str, object]] = []
        for place in places(self._replica.mirror.get, name):
            assert place.entry is not None  # noqa: S101 - only such places are there
            at = {"object": place.name, "at": place.entry.revision}
            try:
                claim = claim_to_wire(self._shown(place.entry, place.owner))
            except RecordError as error:
                rows.append({"error": str(error), **at})
            else:
                rows.append({**claim, **at})
        return rows

    def by_last_used(self, fields: Fields) -> Sequence[Mapping[str, object]]:
        """Return claims, what was not used for longest first; malformed ones are skipped."""
        limit = fields.optional_integer("limit")
        fields.done()
        return [claim_to_wire(claim) for claim in self.all_by_last_used()[:limit]]

    def all_by_last_used(self) -> Sequence[ClaimRecord]:
        """Return all claims in that order."""
        found: list[ClaimRecord] = []
        for entry, owner in self._all():
            try:
                found.append(self._shown(entry, owner))
            except RecordError as error:
                logger.warning("malformed claim skipped", extra={"why": str(error)})
        found.sort(key=lambda claim: (claim.last_used_at, claim.provider, claim.model_name))
        return found

    def counts(self) -> Mapping[str, int]:
        """Return how many claims have each status, malformed ones by what theirs says."""
        counts = dict.fromkeys(map(str, ClaimStatus), 0)
        for entry, owner in self._all():
            counts[status_of(phase_in(entry.value), has_owner=owner is not None)] += 1
        return counts

    def _all(self) -> Iterator[tuple[Entry, Entry | None]]:
        get, start = self._replica.mirror.get, claim_key("")
        for entry in self._replica.mirror.under((CLAIMS,)):
            if entry.key.startswith(start):
                yield entry, get(claim_owner_key(entry.key.removeprefix(start)))

    def _shown(self, entry: Entry, owner: Entry | None) -> ClaimRecord:
        stored = decode_claim(entry.key, entry.value)
        if stored.phase not in {"", *ClaimStatus}:
            extra = {"claim": entry.key, "status": stored.phase}
            logger.warning("claim has an unknown status, shown as an error", extra=extra)
        now = stamp(self._now_ms())
        return stored.shown(has_owner=owner is not None, revision=entry.revision, now=now)

    # ---- changes

    async def _try_claim(self, fields: Fields) -> dict[str, object]:
        caller, by = self._claiming(fields)
        fields.done()
        return await self._as(caller, lambda: try_claim(self._get, by), may_drain=False)

    async def _reset(self, status: ClaimStatus, fields: Fields) -> dict[str, object]:
        caller, by = self._claiming(fields)
        fields.done()
        return await self._as(caller, lambda: try_reset(self._get, by, status), may_drain=False)

    async def _release(self, fields: Fields) -> dict[str, object]:
        caller, by = self._claiming(fields)
        was_new = fields.flag("was_new")
        fields.done()
        return await self._as(caller, partial(release, self._get, by, was_new=was_new))

    async def _set_status(self, fields: Fields) -> dict[str, object]:
        caller, by = self._claiming(fields)
        status, message = check_status(fields.raw("status")), check_message(fields.raw("message"))
        fields.done()
        return await self._as(caller, partial(set_status, self._get, by, status, message))

    async def _touch(self, fields: Fields) -> dict[str, object]:
        name = check_model_name(fields.raw("name"))
        fields.done()
        return await self._write(partial(touch, self._get, name, stamp(self._now_ms())))

    async def _delete(self, fields: Fields) -> dict[str, object]:
        name, at = check_model_name(fields.raw("name")), fields.integer("at")
        object_ = fields.text("object")
        fields.done()
        if object_ not in object_names(name):
            expected = object_name("HuggingFace", name)
            raise InvalidArgumentError(
                f"request.object {object_!r}: expected one of {name!r}, such as {expected!r}"
            )
        return await self._write(partial(delete, self._get, object_, at))

    def _claiming(self, fields: Fields) -> tuple[Caller, Claiming]:
        caller = caller_of(fields)
        return caller, Claiming(
            instance_id=caller.instance_id,
            provider=check_provider(fields.raw("provider")),
            name=check_model_name(fields.raw("name")),
            mark=_mark(fields.text("mark")),
            now=stamp(self._now_ms()),
        )

    def _get(self, key: str) -> Entry | None:
        return self._replica.mirror.get(key)  # the mirror of an epoch; another has another

    async def _as(
        self, caller: Caller, decide: Callable[[], Decision], *, may_drain: bool = True
    ) -> dict[str, object]:
        """Decide in the name of a process.

        Its session is rewritten even if nothing else is: older copies of the request end here.
        """
        async with self._registry.turns.of(caller.instance_id):
            return await self._write(decide, caller, may_drain=may_drain)

    async def _write(
        self,
        decide: Callable[[], Decision],
        caller: Caller | None = None,
        *,
        may_drain: bool = True,
    ) -> dict[str, object]:
        if not self._store.has_guards:
            raise FailedPreconditionError("this store has no guards, so it cannot keep claims")
        answer: dict[str, object] = {}

        async def attempt() -> int:
            ops, guards = [], []
            if caller:
                touched, guard = self._registry.sessions.touch(caller, may_drain=may_drain)
                ops, guards = [touched], [guard]
            decision = decide()
            answer.clear()
            answer.update(decision.answer)
            return await self._store.commit([*ops, *decision.ops], [*guards, *decision.guards])

        epoch = self._replica.feed.epoch
        return {"revision": await self._registry.persist(attempt), "epoch": epoch, **answer}


def _mark(value: str) -> str:
    if len(value) > _MOST_MARK:
        raise InvalidArgumentError(
            f"request.mark: expected {_MOST_MARK} characters at most, got {len(value)}"
        )
    return value
