from __future__ import annotations

from discovery.pictures import Pictures
from tests.support.specs import endpoint

A, B = (endpoint(name).instance(1) for name in "ab")


def test_a_picture_never_changes_afterwards():
    pictures = Pictures()
    assert pictures.get() == {}
    pictures.change(A.id, A)
    first = pictures.get()
    pictures.change(B.id, B)
    pictures.change(A.id, None)
    assert first == {A.id: A}
    assert pictures.get() == {B.id: B}


def test_a_picture_is_copied_only_when_something_changed():
    pictures = Pictures()
    pictures.change(A.id, A)
    assert pictures.get() is pictures.get()


def test_taking_out_what_is_not_there_is_no_error():
    pictures = Pictures()
    pictures.change(A.id, None)
    assert pictures.get() == {}


def test_what_came_and_went_between_two_pictures_takes_no_memory():
    pictures = Pictures()
    for number in range(1, 100):
        passing = endpoint("a").instance(number)
        pictures.change(passing.id, passing)
        pictures.change(passing.id, None)
    assert len(pictures._changes) == 0
    pictures.change(A.id, A)
    assert pictures.get() == {A.id: A}
    pictures.change(A.id, None)
    pictures.change(A.id, A)
    pictures.change(A.id, None)
    assert len(pictures._changes) == 1
    assert pictures.get() == {}
