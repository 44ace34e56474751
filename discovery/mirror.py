"""A copy of the registry at one revision, by scope: what is visible, and why the rest is not.

Sans-I/O. All here is a function of the entries alone, so every daemon on a store shows the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from discovery.bookkeys import CLAIM_OWNERS_PREFIX, book_scope, is_book_key
from discovery.contest import Contest
from discovery.errors import FailedPreconditionError, InvalidArgumentError
from discovery.events import Cause
from discovery.identity import identity_from_card
from discovery.instance import ModelInstance
from discovery.keys import PENDING_PREFIX, SESSION_PREFIX, parse_key, session_key
from discovery.protocol import DIGEST_MODULUS, item_digest
from discovery.store import Change
from discovery.wire import decode_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from discovery.identity import ModelIdentity
    from discovery.names import Scope
    from discovery.store import Batch, Entry

_CACHED_SCOPES = 8192

MAX_VALUE_BYTES = 384 << 10
"""So that every visible record fits a message, even escaped. Ours do; a peer's may not."""


@lru_cache(maxsize=_CACHED_SCOPES)
def scopes_above(leaf: Scope) -> Sequence[Scope]:
    """Return the scopes that contain `leaf`, from the whole kind down to the leaf itself."""
    return tuple(leaf[: depth + 1] for depth in range(len(leaf)))


class RefusedOnMirrorError(FailedPreconditionError):
    """A refusal for what a mirror shows, which is out of date if that is."""


@dataclass(frozen=True, slots=True)
class Surfaced:
    """A record of a leaf scope that became visible, changed or (`entry` None) went out of sight."""

    scope: Scope
    key: str
    entry: Entry | None
    cause: Cause | None = None
    detail: str | None = None


class Mirror:
    """The visible records by leaf scope, with order-free digests of every scope above them.

    Three kinds of records are held but not visible: unreadable ones, sessions and pending ones, and
    models that an earlier one on their endpoint contradicts.
    """

    def __init__(self, revision: int = 0, entries: Iterable[Entry] = ()) -> None:
        self.revision = revision
        self.unreadable: dict[str, str] = {}
        """Why, by key, for each record that cannot be read."""
        self._entries: dict[str, Entry] = {}
        self._keys_of: dict[int, dict[str, None]] | None = None  # by lease, once it was asked for
        self._leaves: dict[Scope, dict[str, Entry]] = {}
        self._below: dict[Scope, dict[Scope, None]] = {}
        self._digests: dict[Scope, int] = {}
        self._contests: dict[Scope, Contest] = {}
        for entry in entries:
            self._take(Change(entry.key, entry))

    def apply(self, batch: Batch) -> list[Surfaced]:
        """Move on by one batch and return what that changed to those who look, each key once."""
        shown: list[Surfaced] = []
        for change in batch.changes:
            shown += self._take(change)
        self.revision = batch.revision
        return _last_of_each_key(shown)

    # ---- reading

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key, visible or not."""
        return self._entries.get(key)

    def revisions(self) -> dict[str, int]:
        """Return every key, visible or not, with the revision of its last put."""
        return {key: entry.revision for key, entry in self._entries.items()}

    def sessions(self) -> Iterator[Entry]:
        """Yield the entries under `session/`."""
        return (e for k, e in self._entries.items() if k.startswith(SESSION_PREFIX))

    def keys_of(self, lease: int) -> Collection[str]:
        """Return the keys of what is registered, visible or not, under a lease.

        Sessions and claims are left out.

        The first call goes over all there is, and from then on that is kept up: few daemons need it
        before they load anew, and then for every process at once.
        """
        if self._keys_of is None:
            self._keys_of = {}
            for key, entry in self._entries.items():
                _note_owner(self._keys_of, key, None, entry)
        return self._keys_of.get(lease, ())

    def under(self, scope: Scope) -> Iterator[Entry]:
        """Yield the visible entries of a scope, in no promised order."""
        stack = [scope]
        while stack:
            at = stack.pop()
            yield from self._leaves.get(at, {}).values()
            stack.extend(self._below.get(at, ()))

    def models_on(self, endpoint: Scope) -> Mapping[ModelIdentity, int]:
        """Return how many records, visible or not, an endpoint has of each model identity."""
        contest = self._contests.get(endpoint)
        return contest.counts if contest else {}

    def oldest_model(self, endpoint: Scope, identity: ModelIdentity) -> int | None:
        """Return the revision at which the first record of `identity` on an endpoint was made."""
        contest = self._contests.get(endpoint)
        return contest.oldest(identity) if contest else None

    def digest(self, scope: Scope) -> int:
        """Return the sum of `item_digest` over the visible records of a scope, modulo 2^64."""
        return self._digests.get(scope, 0)

    def is_empty(self, scope: Scope) -> bool:
        """Say whether nothing is visible in `scope`."""
        return scope not in self._leaves and scope not in self._below

    def counts(self) -> Mapping[Scope, int]:
        """Return the number of visible records of each leaf scope."""
        return {scope: len(leaf) for scope, leaf in self._leaves.items()}

    # ---- changing

    def _take(self, change: Change) -> list[Surfaced]:
        key, entry = change.key, change.entry
        old = self._entries.get(key)
        if self._keys_of is not None:
            _note_owner(self._keys_of, key, old, entry)
        if entry is None:
            self._entries.pop(key, None)
            change = self._explained(change, old)
        else:
            self._entries[key] = entry
        if key.startswith((SESSION_PREFIX, PENDING_PREFIX)):
            return []
        try:
            scope = _leaf_of(key)
        except InvalidArgumentError as error:
            self._note_unreadable(key, entry, str(error))
            return []
        if scope is None:
            return []
        readable, identity = self._read(key, entry)
        if readable is not entry:  # it goes out of sight, but was not deleted
            change = _hidden(key)
        if scope[0] == "models":
            return self._settle(scope, change, identity)
        return self._show(scope, change)

    def _explained(self, change: Change, old: Entry | None) -> Change:
        """Add to a deletion what follows from the record, so that it is not taken for doubtful.

        Without a lease, none has ended. A lease without a session is not renewed through daemons,
        so none of them can have let it end.
        """
        if change.cause is not None or old is None:
            return change
        if old.lease is None:
            return Change(change.key, None, Cause.REVOKED)
        if session_key(old.lease) not in self._entries:
            return _hidden(change.key)
        return change

    def _read(self, key: str, entry: Entry | None) -> tuple[Entry | None, ModelIdentity | None]:
        """Return the entry if it can be read, with its identity if it is a model."""
        self.unreadable.pop(key, None)
        if entry is None:
            return None, None
        try:
            _check_size(entry.value)
            if is_book_key(key):  # whoever asks for it is told what is wrong with it
                return entry, None
            record = decode_record(key, entry.value)
            if isinstance(record, ModelInstance):
                return entry, identity_from_card(record.card, record.suffix)
        except InvalidArgumentError as error:
            self._note_unreadable(key, entry, str(error))
            return None, None
        return entry, None

    def _note_unreadable(self, key: str, entry: Entry | None, why: str) -> None:
        if entry is None:
            self.unreadable.pop(key, None)
        else:
            self.unreadable[key] = why

    def _settle(
        self, scope: Scope, change: Change, identity: ModelIdentity | None
    ) -> list[Surfaced]:
        """Show or hide the models of one endpoint after one of them changed."""
        key, entry = change.key, change.entry
        contest = self._contests.setdefault(scope, Contest())
        was_clean = contest.is_clean
        if entry is None or identity is None:
            contest.drop(key)
        else:
            contest.put(key, entry.created, identity)
        if not contest.counts:
            del self._contests[scope]
        if was_clean and contest.is_clean:
            return self._show(scope, change)
        return self._reshuffle(scope, contest.visible(), change)

    def _reshuffle(self, scope: Scope, visible: Sequence[str], change: Change) -> list[Surfaced]:
        before, after = self._leaves.get(scope, {}), set(visible)
        shown: list[Surfaced] = []
        for key in [key for key in before if key not in after]:
            is_deleted = key == change.key and change.entry is None
            shown += self._show(scope, change if is_deleted else _hidden(key))
        for key in visible:
            entry = self._entries[key]
            if self._leaves.get(scope, {}).get(key) != entry:
                shown += self._show(scope, Change(key, entry))
        return shown

    def _show(self, scope: Scope, change: Change) -> list[Surfaced]:
        key, entry = change.key, change.entry
        old = self._leaves.get(scope, {}).get(key)
        if old is None and entry is None:
            return []
        delta = (item_digest(key, entry.revision) if entry else 0) - (
            item_digest(key, old.revision) if old else 0
        )
        if entry is None:
            self._unlink(scope, key)
        else:
            self._link(scope, key, entry)
        for above in scopes_above(scope):
            digest = (self._digests.get(above, 0) + delta) % DIGEST_MODULUS
            if self.is_empty(above):
                self._digests.pop(above, None)
            else:
                self._digests[above] = digest
        return [Surfaced(scope, key, entry, change.cause, change.detail)]

    def _link(self, scope: Scope, key: str, entry: Entry) -> None:
        if scope not in self._leaves:
            self._leaves[scope] = {}
            for depth in range(len(scope) - 1, 0, -1):
                self._below.setdefault(scope[:depth], {})[scope[: depth + 1]] = None
        self._leaves[scope][key] = entry

    def _unlink(self, scope: Scope, key: str) -> None:
        leaf = self._leaves[scope]
        del leaf[key]
        if leaf:
            return
        del self._leaves[scope]
        for depth in range(len(scope) - 1, 0, -1):
            child = scope[: depth + 1]
            if not self.is_empty(child):
                return
            del self._below[scope[:depth]][child]
            if not self._below[scope[:depth]]:
                del self._below[scope[:depth]]


def _note_owner(
    keys_of: dict[int, dict[str, None]], key: str, old: Entry | None, entry: Entry | None
) -> None:
    """Note under which lease a key is now, and is no more."""
    if key.startswith((SESSION_PREFIX, CLAIM_OWNERS_PREFIX)):
        return
    if old is not None and old.lease is not None:
        keys = keys_of[old.lease]
        del keys[key]
        if not keys:
            del keys_of[old.lease]
    if entry is not None and entry.lease is not None:
        keys_of.setdefault(entry.lease, {})[key] = None


def _hidden(key: str) -> Change:
    """Return that a record goes out of sight, and that nothing more is known of it."""
    return Change(key, None, Cause.RESYNC)


def _check_size(value: bytes) -> None:
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidArgumentError(
            f"value of {len(value)} bytes is too long: expected at most {MAX_VALUE_BYTES}"
        )


def _leaf_of(key: str) -> Scope | None:
    if is_book_key(key):
        return scopes_above(book_scope(key))[-1]
    parsed = parse_key(key)
    return scopes_above(parsed.scope)[-1] if parsed else None  # one tuple for all of its records


def _last_of_each_key(shown: list[Surfaced]) -> list[Surfaced]:
    """Keep the last word on each key: reshuffled models can be spoken of twice in one commit."""
    last = {surfaced.key: surfaced for surfaced in shown}
    return list(last.values()) if len(last) != len(shown) else shown
