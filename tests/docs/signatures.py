"""How things are called, as text that is the same with every version of Python."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, get_overloads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH = 100


def calls_of(
    function: Callable[..., object], name: str, *, width: int | None = _WIDTH
) -> Sequence[str]:
    """Every way to call a function, one text each; on one line when `width` is None."""
    return [_call(one, name, width) for one in get_overloads(function) or [function]]


def construction_of(kind: type) -> str:
    """How an object is made; the dataclasses of users take keywords only."""
    if hasattr(kind, "_fields"):
        words = [f"{name}: {_plain(text)}" for name, text in kind.__annotations__.items()]
        return _wrapped(kind.__name__, words, "", _WIDTH)
    if not dataclasses.is_dataclass(kind):
        (call,) = calls_of(kind.__init__, kind.__name__)
        return call.removesuffix(" -> None")
    fields = dataclasses.fields(kind)
    words = [f"{one.name}: {one.type}{_default_of_field(one)}" for one in fields if one.init]
    is_keyword = all(one.kw_only for one in fields)
    return _wrapped(kind.__name__, ["*", *words] if is_keyword else words, "", _WIDTH)


def _plain(annotation: object) -> str:
    """The annotation of a named tuple's field, which is a reference to text."""
    return getattr(annotation, "__forward_arg__", str(annotation))


def _call(function: Callable[..., object], name: str, width: int | None) -> str:
    signature = inspect.signature(function)
    words: list[str] = []
    is_keyword = False
    for parameter in signature.parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword:
            is_keyword = True
            words.append("*")
        default = parameter.default
        text = f"{parameter.name}: {parameter.annotation}"
        words.append(text if default is parameter.empty else f"{text} = {_value(default)}")
    prefix = "async " if _is_async(function) else ""
    return _wrapped(prefix + name, words, f" -> {signature.return_annotation}", width)


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _default_of_field(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {_value(field.default)}"
    return "" if field.default_factory is dataclasses.MISSING else " = {}"


def _value(value: object) -> str:
    """A default as it is written; a member of an enumeration by its name."""
    return str(value) if not hasattr(value, "name") else f"{type(value).__name__}.{value.name}"


def _wrapped(name: str, words: Sequence[str], end: str, width: int | None) -> str:
    line = f"{name}({', '.join(words)}){end}"
    if width is None or len(line) <= width:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){end}"])
