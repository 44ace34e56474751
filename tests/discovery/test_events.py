from __future__ import annotations

import pytest

from discovery.errors import InvalidArgumentError
from discovery.events import Added, Cause, Removed, check_last_words
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
    assert event.detail is None


def test_the_causes_are_those_of_the_design() -> None:
    assert [*Cause] == ["unregistered", "lease_expired", "crashed", "revoked", "resync"]


def test_equal_events_are_equal() -> None:
    assert Added(instance=INSTANCE, revision=5, is_update=True) == Added(
        instance=INSTANCE, revision=5, is_update=True
    )


@pytest.mark.parametrize("cause", ["unregistered", "crashed"])
@pytest.mark.parametrize("detail", [None, "", "exit status 137", "é" * 200])
def test_a_process_may_say_why_it_goes(cause: str, detail: str | None) -> None:
    assert check_last_words("x", cause, detail) is Cause(cause)


@pytest.mark.parametrize(
    ("cause", "detail", "text"),
    [
        ("revoked", None, "x.cause: expected unregistered or crashed, got 'revoked'"),
        ("", None, "x.cause: expected"),
        ("crashed", "a" * 201, "x.detail: expected at most 200 printable characters, got 201"),
        ("crashed", 137, "x.detail: expected a text, got 137"),
        ("crashed", "two\nlines", "x.detail: expected at most 200 printable"),
        ("crashed", "\x1b[31m", "x.detail: expected at most 200 printable"),
    ],
)
def test_other_last_words_are_refused(cause: str, detail: str | None, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        check_last_words("x", cause, detail)
