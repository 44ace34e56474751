from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import errors
from discovery.errors import (
    DiscoveryError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    LeaseExpiredError,
    ModelConflictError,
    RecordError,
    ResourceExhaustedError,
    SettingError,
    StaleRequestError,
    UnavailableError,
    error_from_wire,
    error_to_wire,
)

CLASSES = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, DiscoveryError)
        and kind is not DiscoveryError
    ),
    key=lambda kind: kind.__name__,
)
SINCE_MS = 1_795_218_540_000
TEXT = (
    "Cannot register model 'model-b' on endpoint 'ns/comp/ep': "
    "a different model 'model-a' is already registered there"
)


def a_conflict(**changes: object) -> ModelConflictError:
    fields: dict[str, object] = {
        "requested": "model-b",
        "endpoint": "ns/comp/ep",
        "incumbent": "model-a",
    }
    return ModelConflictError(**fields | changes)  # type: ignore[arg-type]  # shortened for tests


def an_error(kind: type[DiscoveryError]) -> DiscoveryError:
    return (
        a_conflict(incumbent_count=2, since_ms=SINCE_MS)
        if kind is ModelConflictError
        else kind("why")
    )


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_comes_back_from_the_wire_as_it_was(kind: type[DiscoveryError]) -> None:
    error = an_error(kind)
    again = error_from_wire(error_to_wire(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_survives_pickling(kind: type[DiscoveryError]) -> None:
    error = an_error(kind)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    tree = errors.__doc__ or ""
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in tree] == []
    assert [kind for kind in CLASSES if kind.retryable] == [
        errors.DeadlineExceededError,
        LeaseExpiredError,
        ResourceExhaustedError,
        StaleRequestError,
        UnavailableError,
    ]


@pytest.mark.parametrize(
    ("kind", "wire_type", "code"),
    [
        (SettingError, "setting", "invalid_argument"),
        (RecordError, "record", "invalid_argument"),
        (LeaseExpiredError, "lease_expired", "failed_precondition"),
        (StaleRequestError, "stale_request", "failed_precondition"),
        (ModelConflictError, "model_conflict", "failed_precondition"),
        (errors.DeadlineExceededError, "deadline_exceeded", "deadline_exceeded"),
    ],
)
def test_the_wire_type_is_the_class_in_snake_case(
    kind: type[DiscoveryError], wire_type: str, code: str
) -> None:
    wire = error_to_wire(an_error(kind))
    assert (wire["type"], wire["code"]) == (wire_type, code)


def test_a_conflict_says_the_peers_words() -> None:
    assert str(a_conflict()) == TEXT


@pytest.mark.parametrize(
    ("count", "since_ms", "ending"),
    [
        (0, SINCE_MS, ""),
        (1, None, " (1 instance)"),
        (3, SINCE_MS, " (3 instances, since at least 2026-11-20T23:49:00Z)"),
        (3, SINCE_MS + 999, " (3 instances, since at least 2026-11-20T23:49:00Z)"),
        (3, 10**30, " (3 instances)"),
    ],
)
def test_a_conflict_tells_how_many_and_since_when(
    count: int, since_ms: int | None, ending: str
) -> None:
    assert str(a_conflict(incumbent_count=count, since_ms=since_ms)) == TEXT + ending


def test_a_conflict_has_its_parts_as_attributes() -> None:
    error = a_conflict(incumbent_count=3, since_ms=5)
    assert (error.requested, error.endpoint, error.incumbent) == (
        "model-b",
        "ns/comp/ep",
        "model-a",
    )
    assert (error.incumbent_count, error.since_ms) == (3, 5)


def test_a_conflict_whose_rollback_failed_says_both_on_both_sides_of_the_wire() -> None:
    error = a_conflict().with_rollback_failure(10, UnavailableError("store is away"))
    assert str(error) == (
        f"{TEXT}; failed to roll back conflicting model registration for instance 10: store is away"
    )
    assert str(error_from_wire(error_to_wire(error))) == str(error)


def test_a_conflict_without_its_details_keeps_text_and_code() -> None:
    error = error_from_wire({"type": "model_conflict", "message": "why", "details": {}})
    assert (type(error), str(error)) == (FailedPreconditionError, "why")


@pytest.mark.parametrize(("count", "since_ms"), [("many", 1.5), (10**5000, -(10**5000))], ids=type)
def test_odd_numbers_in_a_conflict_count_as_unknown(count: object, since_ms: object) -> None:
    wire = error_to_wire(a_conflict())
    wire["details"] = {
        "requested": "model-b",
        "endpoint": "ns/comp/ep",
        "incumbent": "model-a",
        "incumbent_count": count,
        "since_ms": since_ms,
    }
    assert str(error_from_wire(wire)) == TEXT


def test_retry_after_comes_back_from_the_wire() -> None:
    error = error_from_wire(error_to_wire(ResourceExhaustedError("full", retry_after_s=1.5)))
    assert isinstance(error, ResourceExhaustedError)
    assert error.retry_after_s == 1.5


@pytest.mark.parametrize(
    "odd", [None, "1", True, -1, math.nan, math.inf, pytest.param(10**400, id="huge")]
)
def test_an_odd_retry_after_counts_as_none(odd: object) -> None:
    error = error_from_wire(
        {"type": "resource_exhausted", "message": "full", "details": {"retry_after_s": odd}}
    )
    assert isinstance(error, ResourceExhaustedError)
    assert error.retry_after_s is None


def test_an_unknown_type_falls_back_to_its_code() -> None:
    error = error_from_wire({"type": "overloaded", "code": "unavailable", "message": "later"})
    assert (type(error), str(error)) == (UnavailableError, "later")


def test_an_unknown_type_and_code_become_an_internal_error_with_the_text() -> None:
    error = error_from_wire({"type": "new", "code": "newer", "message": "kept"})
    assert (type(error), str(error)) == (InternalError, "kept")


@pytest.mark.parametrize(
    "odd",
    [None, [], "boom", 7, {}, pytest.param({"type": [], "message": 10**5000}, id="huge")],
)
def test_unreadable_errors_become_internal_errors(odd: object) -> None:
    error = error_from_wire(odd)
    assert type(error) is InternalError
    assert str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": JSON | st.sampled_from(["model_conflict", "resource_exhausted", "internal"]),
            "code": JSON,
            "message": JSON,
            "details": JSON
            | st.fixed_dictionaries(
                {"requested": JSON, "endpoint": JSON, "incumbent": JSON, "since_ms": JSON}
            ),
        },
    )
)
def test_reading_an_error_never_raises(data: dict[str, object]) -> None:
    assert isinstance(error_from_wire(data), DiscoveryError)


def test_a_class_outside_the_tree_goes_under_its_nearest_ancestor() -> None:
    class OddSettingError(SettingError):
        pass

    assert type(error_from_wire(error_to_wire(OddSettingError("why")))) is SettingError
    assert type(error_from_wire(error_to_wire(DiscoveryError("why")))) is InternalError


def test_wrong_input_is_not_retryable() -> None:
    assert not InvalidArgumentError("why").retryable
