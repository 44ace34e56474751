"""discovery.settings: defaults, ranges and their documentation."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import tomllib
from pathlib import Path

import pytest

from discovery import settings
from discovery.setting import settings_in
from discovery.settings import DaemonSettings

FILE = Path(__file__).parents[2] / "config" / "discoveryd.toml"
GROUPS = [
    value
    for value in vars(settings).values()
    if dataclasses.is_dataclass(value) and value.__name__.endswith("Settings")
]
SETTINGS = {setting.name: setting for setting in settings_in(DaemonSettings)}


def default_of(name):
    value = DaemonSettings()
    for part in name.split("."):
        value = getattr(value, part)
    return value


def comments_of_file():
    """Return the comment right above each setting of the documented file, by the setting's name."""
    found, table, comment = {}, "", []
    for line in FILE.read_text().splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            table = f"{match[1]}."
        elif match := re.match(r"(\w+) = ", line):
            found[table + match[1]] = " ".join(comment)
        comment = []
    return found


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_setting_has_a_docstring(group):
    (body,) = ast.parse(inspect.getsource(group)).body
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text, ast.Expr), field.target.id
            assert isinstance(text.value, ast.Constant), field.target.id
            assert isinstance(text.value.value, str), field.target.id
    assert isinstance(body.body[-1], ast.Expr)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_settings_cannot_be_changed_after_the_start(group):
    value = group()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_within_its_own_range(name):
    between, default = SETTINGS[name].between, default_of(name)
    if isinstance(default, int | float) and not isinstance(default, bool):
        assert between is not None, "a number needs a range"
        assert between.low <= default <= between.high


def test_the_documented_file_has_every_setting_at_its_default_and_no_other():
    written = {}
    for key, value in tomllib.loads(FILE.read_text()).items():
        inside = value.items() if isinstance(value, dict) else [("", value)]
        written.update({f"{key}.{part}".rstrip("."): item for part, item in inside})
    assert written.keys() == SETTINGS.keys()
    for name, value in written.items():
        expected = default_of(name)
        if expected is None:
            assert value in SETTINGS[name].none_words
        else:
            assert value == (list(expected) if isinstance(expected, tuple) else expected), name
            assert type(value) is type(expected) or isinstance(value, list), name


@pytest.mark.parametrize("name", SETTINGS)
def test_the_documented_file_explains_every_setting_with_unit_and_range(name):
    comment, between = comments_of_file()[name], SETTINGS[name].between
    assert len(comment) > 40, "says too little"
    if between is not None:
        assert f"{between.low:.15g} to {between.high:.15g}" in comment
    if SETTINGS[name].expected.startswith("one of "):
        for choice in SETTINGS[name].expected.removeprefix("one of ").split(", "):
            assert f'"{choice}"' in comment
    for ending, unit in {"_s": "seconds", "_bytes": "bytes", "_bytes_per_s": "bytes"}.items():
        if name.endswith(ending) and not name.endswith(f"_bytes_per{ending}"):
            assert unit in comment
