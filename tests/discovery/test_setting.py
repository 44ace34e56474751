"""discovery.setting: one setting and what it takes; its sources are in test_config."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from discovery.errors import SettingError
from discovery.setting import Given, settings_in
from discovery.settings import Between, NoneWords


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size_bytes: Annotated[int, Between(low=1, high=9)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    ratio: Annotated[float, Between(low=0.5, high=2.0)] = 1.0
    name: Annotated[str | None, NoneWords(("", "off"))] = None
    form: Literal["x", "y"] = "x"
    urls: tuple[str, ...] = ("a",)
    flag: bool = False
    inner: Inner = field(default_factory=Inner)


SETTINGS = {setting.name: setting for setting in settings_in(Outer)}


def test_the_settings_of_a_group_are_named_after_it():
    assert list(SETTINGS) == ["ratio", "name", "form", "urls", "flag", "inner.size_bytes"]
    assert SETTINGS["inner.size_bytes"].id == "inner_size_bytes"


def test_what_is_expected_is_said_in_words():
    assert {name: setting.expected for name, setting in SETTINGS.items()} == {
        "ratio": "a number from 0.5 to 2.0",
        "name": "a text that is not empty",
        "form": "one of x, y",
        "urls": "one or more URLs",
        "flag": "true or false",
        "inner.size_bytes": "a whole number from 1 to 9",
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ratio", "2", 2.0),
        ("name", "off", None),
        ("name", "", None),
        ("name", "on", "on"),
        ("form", "y", "y"),
        ("urls", "a,b c", ("a", "b", "c")),
        ("flag", "YES", True),
        ("flag", "0", False),
        ("inner.size_bytes", "9", 9),
    ],
)
def test_text_is_read_as_the_type_of_its_setting(name, text, value):
    read = SETTINGS[name].read(Given(value=text, source="a test", is_text=True))
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("ratio", True), ("inner.size_bytes", True), ("inner.size_bytes", 0), ("flag", 1)],
)
def test_a_value_of_another_type_is_never_taken_for_one_like_it(name, value):
    with pytest.raises(SettingError, match=f"setting '{name}' from a test: got {value}, expected"):
        SETTINGS[name].read(Given(value=value, source="a test", is_text=False))
