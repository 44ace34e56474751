from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.store import Entry
from discovery.stores.keytree import KeyTree, check_prefix

KEYS = st.text("ab/", max_size=6)


def entry(key: str, revision: int = 1) -> Entry:
    return Entry(key, b"", revision, revision, None)


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=30), KEYS, st.integers(0, 30))
def test_a_tree_answers_as_a_dict_does(
    steps: list[tuple[str, bool]], name: str, since: int
) -> None:
    tree, model = KeyTree(), dict[str, Entry]()
    for revision, (key, is_put) in enumerate(steps, 1):
        if is_put:
            model[key] = entry(key, revision)
            tree.put(model[key])
        elif key in model:
            del model[key]
            tree.delete(key)
        assert tree.get(key) == model.get(key)
        assert len(tree) == len(model)
    prefix = f"{name}/"
    inside = [model[key] for key in sorted(model) if key.startswith(prefix)]
    assert tree.under(prefix) == inside
    assert tree.under("") == [model[key] for key in sorted(model)]
    newer = any(item.revision > since for item in inside)
    assert tree.was_put_after(prefix, since) is newer
    assert tree.was_put_after(prefix, since) is newer  # asking changes nothing
    assert tree.was_put_after("", since) is any(e.revision > since for e in model.values())


def test_an_emptied_tree_keeps_no_folders() -> None:
    tree = KeyTree()
    for key in ("a/b/c", "a/b/d", "e"):
        tree.put(entry(key))
    for key in ("a/b/c", "a/b/d", "e"):
        tree.delete(key)
    assert tree._root.below == {}


def test_a_key_and_a_folder_may_have_one_name() -> None:
    tree = KeyTree()
    for key in ("a", "a/b", "a/"):
        tree.put(entry(key))
    assert [e.key for e in tree.under("a/")] == ["a/", "a/b"]
    tree.delete("a")
    assert [e.key for e in tree.under("")] == ["a/", "a/b"]


def test_a_prefix_that_is_a_key_has_nothing_under_it() -> None:
    tree = KeyTree()
    tree.put(entry("a/b"))
    assert tree.under("a/b/") == []
    assert not tree.was_put_after("a/b/", 0)


def test_a_guard_that_holds_does_not_look_at_the_entries() -> None:
    tree = KeyTree()
    for number in range(1000):
        tree.put(entry(f"a/{number}", number))
    tree._entries.clear()
    node = tree._find("a/")
    assert node is not None
    node.below = None  # type: ignore[assignment]  # whoever looks fails
    assert not tree.was_put_after("a/", 999)


@pytest.mark.parametrize("prefix", ["", "/", "a/", "a//"])
def test_a_prefix_is_empty_or_ends_with_a_slash(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["a", "/a", "a/b"])
def test_another_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidArgumentError, match="ends with '/'"):
        check_prefix(prefix)
