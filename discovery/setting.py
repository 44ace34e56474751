"""What one setting takes: found from its annotation, and held against what somebody wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass, is_dataclass
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin, get_type_hints

from discovery.errors import SettingError
from discovery.names import shown
from discovery.settings import Between, NoneWords

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_LIST = tuple[str, ...]
_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text that is not empty",
    _LIST: "one or more URLs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value that somebody wrote, and where; `is_text` if it is still to be converted."""

    value: object
    source: str
    is_text: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: its name in the file ("lease.recovery_s"), its type and its limits."""

    name: str
    kind: object
    between: Between | None
    none_words: tuple[str, ...]

    @property
    def id(self) -> str:
        """The name with `_` for the dot, from which flags and variables are made."""
        return self.name.replace(".", "_")

    @property
    def is_list(self) -> bool:
        """Whether several values may be given."""
        return self.kind == _LIST

    @property
    def expected(self) -> str:
        """The allowed values, in words."""
        if get_origin(self.kind) is Literal:
            return "one of " + ", ".join(get_args(self.kind))
        if self.between is None:
            return _WORDS[self.kind]
        return f"{_WORDS[self.kind]} from {self.between.low} to {self.between.high}"

    def read(self, given: Given) -> object:
        """Return the value a component gets, of the setting's own type.

        Raises:
            SettingError: the value is not allowed.
        """
        value: object = given.value
        if given.is_text and isinstance(value, str):
            value = _from_text(self.kind, value)
        if isinstance(value, str) and value in self.none_words:
            return None
        if isinstance(value, list):
            value = tuple(value)
        if not self._allows(value):
            raise refusal(self.name, given.source, given.value, self.expected)
        return float(value) if self.kind is float and isinstance(value, int) else value

    def _allows(self, value: object) -> bool:
        if get_origin(self.kind) is Literal:
            return value in get_args(self.kind)
        if isinstance(value, tuple):
            is_texts = all(isinstance(item, str) and item for item in value)
            return self.is_list and is_texts and value != ()
        if type(value) is not self.kind and not (self.kind is float and type(value) is int):
            return False
        if isinstance(value, int | float) and self.between is not None:
            return self.between.low <= value <= self.between.high
        return value != ""


def settings_in(group: type, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a settings class, those of its groups included."""
    for name, hint in get_type_hints(group, include_extras=True).items():
        if is_dataclass(hint):
            yield from settings_in(hint, f"{name}.")  # type: ignore[arg-type]  # a class, not an instance
            continue
        kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        none_words = next((mark.words for mark in marks if isinstance(mark, NoneWords)), ())
        if none_words:
            kind = next(part for part in get_args(kind) if part is not NoneType)
        between = next((mark for mark in marks if isinstance(mark, Between)), None)
        yield Setting(name=prefix + name, kind=kind, between=between, none_words=none_words)


def refusal(name: str, source: str, value: object, expected: str) -> SettingError:
    """Return the error for a value that is not allowed."""
    return SettingError(f"setting {name!r} from {source}: got {shown(value)}, expected {expected}")


def _from_text(kind: object, text: str) -> object:
    """Convert text to the kind; what cannot be converted stays text and is refused later."""
    try:
        if kind is bool:
            return _BOOLEANS.get(text.lower(), text)
        if kind is int:
            return int(text)
        if kind is float:
            return float(text)
    except ValueError:
        return text
    return tuple(re.split(r"[\s,]+", text.strip())) if kind == _LIST else text
