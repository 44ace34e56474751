"""What one `register` call asks for: checked, named and in its bytes. Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from discovery.errors import InvalidArgumentError, ModelConflictError
from discovery.identity import ModelIdentity, find_conflict, identity_from_card
from discovery.ids import EventChannelId
from discovery.instance import ModelInstance
from discovery.keys import endpoint_models_prefix, format_key
from discovery.names import shown
from discovery.spec import EventChannelSpec, ModelSpec
from discovery.store import NoPutAfter
from discovery.wire import decode_record, encode_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from discovery.ids import InstanceId
    from discovery.jsonvalue import Json
    from discovery.names import Generation, Scope
    from discovery.settings import LimitSettings
    from discovery.spec import Spec
    from discovery.store import Entry

_SHOWN_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Records that become visible together or not at all.

    `endpoint` is the scope that its models are on, None when it has none; `models` gives their
    identities, and `cards` their cards, by key. `records` holds the bytes of all, by key.
    """

    records: Mapping[str, bytes]
    endpoint: Scope | None
    models: Mapping[str, ModelIdentity]
    cards: Mapping[str, Mapping[str, Json]]

    @classmethod
    def of(
        cls, specs: Sequence[Spec], instance_id: int, generation: str, limits: LimitSettings
    ) -> Unit:
        """Return the unit of `specs` as process `instance_id` registers them.

        Raises `InvalidArgumentError` when there are none or too many, when one appears twice or is
        too large, or when models are on more than one endpoint.
        """
        if not 1 <= len(specs) <= limits.max_unit:
            raise InvalidArgumentError(f"specs: got {len(specs)}, expected 1 to {limits.max_unit}")
        records: dict[str, bytes] = {}
        models: dict[str, ModelIdentity] = {}
        cards: dict[str, Mapping[str, Json]] = {}
        endpoints: dict[Scope, None] = {}
        for spec in specs:
            key, value = _record(spec, instance_id, cast("Generation", generation), limits)
            if key in records:
                raise InvalidArgumentError(f"specs: {key!r} appears twice, expected once")
            records[key] = value
            if isinstance(spec, ModelSpec):
                models[key] = identity_from_card(spec.card, spec.suffix)
                cards[key] = spec.card
                endpoints[spec.id(instance_id).scope] = None
        if len(endpoints) > 1:
            where = sorted("/".join(scope[1:]) for scope in endpoints)
            raise InvalidArgumentError(f"specs: models on {shown(where)}, expected one endpoint")
        endpoint = next(iter(endpoints), None)
        return cls(records=records, endpoint=endpoint, models=models, cards=cards)

    @property
    def models_prefix(self) -> str:
        """The prefix that all models of the unit's endpoint are under."""
        assert self.endpoint is not None  # noqa: S101 - asked for only with models
        _, namespace, component, endpoint = self.endpoint
        return endpoint_models_prefix(namespace, component, endpoint)

    def guard(self, revision: int) -> NoPutAfter:
        """Return the guard that keeps a decision made at `revision` true until it is written."""
        return NoPutAfter(self.models_prefix, revision)

    def newcomers(self, held: Callable[[str], Entry | None]) -> Mapping[str, ModelIdentity]:
        """Return the models that change who is on the endpoint, by key.

        An update under the same key and identity does not, so it needs nobody's leave. `held` gives
        the entry that a key has now.
        """
        return {
            key: identity
            for key, identity in self.models.items()
            if (entry := held(key)) is None or identity_of(key, entry.value) != identity
        }

    def conflict_with(
        self, existing: Iterable[ModelIdentity], newcomers: Iterable[ModelIdentity]
    ) -> tuple[ModelIdentity, ModelIdentity] | None:
        """Return one of `newcomers` and what it contradicts, of `existing` or of the unit."""
        others = [*existing, *self.models.values()]
        for requested in newcomers:
            incumbent = find_conflict(requested, others)
            if incumbent:
                return requested, incumbent
        return None

    def refusal(
        self,
        requested: ModelIdentity,
        incumbent: ModelIdentity,
        *,
        count: int,
        since_ms: int | None,
    ) -> ModelConflictError:
        """Return the error for `requested`.

        Args:
            requested: the model of this unit that is refused.
            incumbent: what it contradicts.
            count: how many records the incumbent has; 0 when it is only about to have one.
            since_ms: Unix time at which it was there; None when it is not known.
        """
        assert self.endpoint is not None  # noqa: S101 - there are models
        return ModelConflictError(
            requested=_short(requested.display_name),
            endpoint="/".join(self.endpoint[1:]),
            incumbent=_short(incumbent.display_name),
            incumbent_count=count,
            since_ms=since_ms,
        )


def identity_of(key: str, value: bytes) -> ModelIdentity | None:
    """Return the identity of the model that a record describes.

    None when it cannot be read: it is not listed then, and stands in nobody's way.
    """
    try:
        record = decode_record(key, value)
        if isinstance(record, ModelInstance):
            return identity_from_card(record.card, record.suffix)
    except InvalidArgumentError:
        pass
    return None


def _short(name: str) -> str:
    """Return a model's name as a refusal says it: one may be as long as a record."""
    return name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}…"


def keys_of(instance_id: InstanceId) -> Sequence[str]:
    """Return the keys that a record may lie under, for event channels of either generation."""
    if not isinstance(instance_id, EventChannelId):
        return [format_key(instance_id)]
    keys = [format_key(instance_id, "b")]
    if instance_id.component is not None and instance_id.endpoint is None:
        keys.append(format_key(instance_id, "a"))
    return keys


def _record(
    spec: Spec, instance_id: int, generation: Generation, limits: LimitSettings
) -> tuple[str, bytes]:
    if isinstance(spec, EventChannelSpec) and spec.instance_id is None:
        raise InvalidArgumentError("instance_id of an event channel: expected its publisher's id")
    instance = spec.instance(instance_id)
    key = format_key(instance.id, generation)
    value = encode_record(instance, generation)
    if len(value) > limits.max_record_bytes:
        raise InvalidArgumentError(
            f"record {instance.id}: {len(value)} bytes, expected {limits.max_record_bytes} at most"
        )
    return key, value
