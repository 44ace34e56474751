from __future__ import annotations

from discovery.parts import Parts


def test_a_message_is_whole_when_all_distinct_parts_are_here() -> None:
    parts: Parts[str] = Parts()
    assert parts.add(1, 0, 2, "a") is None
    assert parts.add(1, 0, 2, "a") is None
    assert parts.add(2, 0, 1, "other") == ["other"]
    assert sorted(parts.add(1, 1, 2, "b") or ()) == ["a", "b"]


def test_what_is_passed_is_forgotten_and_the_rest_is_kept() -> None:
    parts: Parts[str] = Parts()
    parts.drop_through(5)
    parts.add(1, 0, 2, "a")
    parts.add(2, 0, 2, "b")
    parts.drop_through(1)
    assert parts.take() == ["b"]
    assert parts.take() == []
