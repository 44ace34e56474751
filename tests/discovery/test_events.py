from __future__ import annotations

from discovery.events import Added, Cause, Removed
from discovery.spec import EndpointSpec

INSTANCE = EndpointSpec(
    namespace="ns", component="comp", endpoint="ep", transport={"tcp": "h:1"}
).instance(1)


def test_an_added_tells_what_when_and_whether_it_replaces() -> None:
    event = Added(instance=INSTANCE, revision=5, is_update=True)
    assert (event.instance, event.revision, event.is_update) == (INSTANCE, 5, True)


def test_a_removed_tells_what_when_and_why() -> None:
    event = Removed(id=INSTANCE.id, revision=5, cause=Cause.CRASHED)
    assert (event.id, event.revision, event.cause) == (INSTANCE.id, 5, "crashed")


def test_the_causes_are_those_of_the_design() -> None:
    assert [*Cause] == ["unregistered", "lease_expired", "crashed", "revoked", "resync"]


def test_equal_events_are_equal() -> None:
    assert Added(instance=INSTANCE, revision=5, is_update=True) == Added(
        instance=INSTANCE, revision=5, is_update=True
    )
