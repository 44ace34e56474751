"""Claims of downloads, for an application: `d.claims`."""

from __future__ import annotations

import secrets
import weakref
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from discovery.bookkeys import CLAIMS, BookEntry, claim_key, claim_owner_key
from discovery.claimrecord import (
    ClaimRecord,
    ClaimStatus,
    check_message,
    check_model_name,
    check_provider,
    check_status,
    claim_from_wire,
    decode_claim,
)
from discovery.clock import now_ms
from discovery.errors import InvalidArgumentError, RecordError, UnavailableError
from discovery.jobqueue import Deed
from discovery.models.asking import unreadable
from discovery.names import shown
from discovery.objectname import object_name
from discovery.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.models.asking import Asking
    from discovery.names import Scope
    from discovery.watch import WatchStream

_MARK_BYTES = 8
_DELETIONS = 8  # each lost to a change in between


@dataclass(frozen=True, slots=True)
class Claimed:
    """This call made the claim: its caller, and nobody else, downloads."""


@dataclass(frozen=True, slots=True)
class AlreadyExists:
    """There was a claim already, which is as it was; `status` is what it said."""

    status: ClaimStatus


class ClaimCounts(NamedTuple):
    """How many claims there are of each status."""

    downloading: int
    downloaded: int
    error: int


class Claims:
    """Who downloads which model; reached as `d.claims`.

    One record for each provider and model. Whoever makes it downloads, under the lease of its
    process: when that ends, the claim is an error, "owner lost", which the next one may take over
    with `try_reset_error`. Providers are `HuggingFace`, `Ngc`, `Gcs` and `File`.

    Raises, beside what each method says: `InvalidArgumentError` for a name or provider that is
    none, `RecordError` for a record that cannot be read, and `UnavailableError` or
    `DeadlineExceededError` when no daemon answers.

    Source: spec/models.md §2.
    """

    def __init__(self, asking: Asking, follow: Callable[[Scope], WatchStream]) -> None:
        self._asking, self._follow = asking, follow

    # ---- claiming

    async def try_claim(self, name: str, provider: str) -> Claimed | AlreadyExists:
        """Claim a download that nobody has claimed; change nothing otherwise.

        Of any number of callers at most one gets `Claimed`. Raises `FailedPreconditionError` for a
        process that an operator drains.
        """
        answer = await self._asking.do(self._claiming("try_claim", name, provider), "claim")
        try:
            if answer.flag("claimed"):
                return Claimed()
            return AlreadyExists(check_status(answer.text("status")))
        except InvalidArgumentError as error:
            raise unreadable(error) from error

    async def try_reset_error(self, name: str, provider: str) -> bool:
        """Take over a download that failed, or whose owner was lost; say whether this call did.

        Of any number of callers at most one gets True, and downloads from then on.
        """
        answer = await self._asking.do(self._claiming("reset_claim", name, provider), "retry")
        try:
            return answer.flag("reset")
        except InvalidArgumentError as error:
            raise unreadable(error) from error

    async def try_reset_missing(self, name: str, provider: str) -> bool:
        """Take over a download that is done, and of which nothing is left; say whether this did.

        Of any number of callers at most one gets True, and downloads from then on.
        """
        answer = await self._asking.do(self._claiming("reset_missing", name, provider), "retry")
        try:
            return answer.flag("reset")
        except InvalidArgumentError as error:
            raise unreadable(error) from error

    async def set_status(
        self, name: str, provider: str, status: ClaimStatus | str, message: str | None = None
    ) -> None:
        """Write how far a download has got; make the record if there is none.

        With `DOWNLOADING` this process is its owner from then on, with any other status nobody is.
        A message of None clears it. Raises `FailedPreconditionError` while another process is
        downloading, and lives.
        """
        said = {"status": check_status(status).value, "message": check_message(message)}
        fields = {**self._model(name, provider), **said, "mark": secrets.token_hex(_MARK_BYTES)}
        await self._asking.do(Deed("set_claim_status", fields, _subject(fields)), "status")

    # ---- by name

    async def record(self, name: str) -> ClaimRecord | None:
        """Return the record of a name, of the first provider that has one, None if none has."""
        rows = await self._rows_of(name)
        return _claim(rows[0]) if rows else None

    async def status(self, name: str) -> ClaimStatus | None:
        """Return the status of a name, None if it is unknown."""
        record = await self.record(name)
        return record.status if record else None

    async def touch(self, name: str) -> None:
        """Say that a model is used now. Does nothing if it is unknown."""
        await self._asking.change("touch_claim", name=check_model_name(name))

    async def delete(self, name: str) -> None:
        """Delete the records of a name, of every provider. Does nothing if there are none."""
        for _ in range(_DELETIONS):
            rows = await self._rows_of(name)
            if not [row for row in rows if await self._has_changed(name, row)]:
                return
        raise UnavailableError(f"claim {shown(name)}: others change it all the time; try again")

    # ---- all of them

    async def by_last_used(self, limit: int | None = None) -> Sequence[ClaimRecord]:
        """Return claims, the one that was not used for longest first, at most `limit`.

        Records that cannot be read are left out, and the daemon logs them.
        """
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidArgumentError(f"limit {shown(limit)}: expected 0 or more, or none")
        return [_claim(row) for row in await self._asking.rows("claims", limit=limit)]

    async def counts(self) -> ClaimCounts:
        """Return how many claims have each status."""
        answer = await self._asking.read("count_claims")
        numbers = [answer.get(status.value) for status in ClaimStatus]
        if not all(type(number) is int for number in numbers):
            raise unreadable(answer)
        return ClaimCounts(*numbers)  # type: ignore[arg-type] # integers, as was just seen

    def wait(self, name: str, provider: str) -> ClaimStream:
        """Return a stream of what becomes of a claim: enter it, or iterate at once.

        It yields the record as it is, or None if there is none, and again whenever its status,
        message or owner changes.
        """
        model = self._model(name, provider)
        object_ = object_name(model["provider"], model["name"])
        return ClaimStream(self._follow((CLAIMS, object_)), object_)

    # ---- inside

    @staticmethod
    def _model(name: str, provider: str) -> dict[str, str]:
        return {"name": check_model_name(name), "provider": check_provider(provider)}

    def _claiming(self, op: str, name: str, provider: str) -> Deed:
        fields = {**self._model(name, provider), "mark": secrets.token_hex(_MARK_BYTES)}
        subject = _subject(fields)
        release = Deed("release_claim", {**fields, "was_new": op == "try_claim"}, subject)
        return Deed(op, fields, subject, undo=release)

    async def _rows_of(self, name: str) -> Sequence[Mapping[str, object]]:
        return await self._asking.rows("claims_of", name=check_model_name(name))

    async def _has_changed(self, name: str, row: Mapping[str, object]) -> bool:
        """Delete a record; say whether it is another one since it was looked at."""
        at = {"object": row.get("object"), "at": row.get("at")}
        answer = await self._asking.change("delete_claim", name=name, **at)
        try:
            return answer.flag("has_changed")
        except InvalidArgumentError as error:
            raise unreadable(error) from error


class ClaimStream:
    """What becomes of one claim. Belongs to the event loop it was entered on.

    `async with` ends it with the block; iterated without, it ends with whoever iterates.
    """

    def __init__(self, stream: WatchStream, object_: str) -> None:
        self._stream, self._object = stream, object_
        self._stack = AsyncExitStack()
        self._is_entered = False
        self._given: object = self  # nothing that a record could equal
        self._blamed: object = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._stream)
        self._is_entered = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream."""
        await self._stack.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ClaimRecord | None:
        """Return the next state. Raises `RecordError` for a record that cannot be read."""
        if not self._is_entered:
            await self.__aenter__()
            weakref.finalize(self, self._stream.let_go)
        await self._stream.synced()
        while True:
            try:
                record = self._now()
            except RecordError as error:
                if str(error) != self._blamed:  # once, until it is another one
                    self._blamed = str(error)
                    raise
                await self._stream.changed()
                continue
            self._blamed = None
            seen = record and (record.status, record.message, record.owner)
            if seen != self._given:
                self._given = seen
                return record
            await self._stream.changed()

    def _now(self) -> ClaimRecord | None:
        entries: dict[object, object] = dict(self._stream.instances.items())
        entry = entries.get(claim_key(self._object))
        if not isinstance(entry, BookEntry):
            return None
        has_owner = claim_owner_key(self._object) in entries
        stored = decode_claim(entry.key, entry.value)
        return stored.shown(has_owner=has_owner, revision=entry.revision, now=stamp(now_ms()))


def _subject(fields: Mapping[str, object]) -> str:
    return f"{fields['provider']}/{fields['name']}"


def _claim(row: Mapping[str, object]) -> ClaimRecord:
    if "error" in row:
        raise RecordError(str(row["error"]))
    try:
        return claim_from_wire(row)
    except InvalidArgumentError as error:
        raise unreadable(error) from error
