"""Codecs: values to bytes and back; strict, because the bytes may come from anyone.

A value is None, a bool, an int of 64 bits (-2^63 to 2^64-1), a finite float, a str, a list, or a
dict with str keys; MsgPack also carries bytes. Tuples are written as lists, members of an enum of
str or int as what they are. Both directions obey the same rules, so what one side may write the
other side will read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import msgpack  # type: ignore[import-untyped]  # it ships no types
import orjson

from transports.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 32
"""How many lists and maps may lie inside each other."""

_MAX_MAPS: Final = 50_000
"""In one body of MsgPack; each is seen in Python. Bodies of fewer bytes cannot have as many."""

_TEXT: Final = frozenset({str})
_SCALARS: Final = frozenset({type(None), bool, int, float, str})
_CONTAINERS: Final = frozenset({list, tuple, dict})
_JSON_TYPES: Final = _SCALARS | _CONTAINERS
_MSGPACK_TYPES: Final = _JSON_TYPES | {bytes}
_MAX_PATH_CHARS: Final = 200
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
_MAX_DIGITS: Final = 20
_JSON_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_JSON_LONG_NUMBER: Final = re.compile(rb"(?<![0-9.eE+-])(-?[0-9]{19,}+)(?![.eE])")


class Codec(Protocol):
    """Turns values into bytes and bytes into values; has no state."""

    @property
    def name(self) -> Literal["json", "msgpack"]:
        """The name that settings use."""
        ...

    @property
    def code(self) -> int:
        """The byte that stands for this codec in a frame's header."""
        ...

    def encode(self, value: object) -> bytes:
        """Return the bytes of a value; CodecError says what in it cannot be encoded, and where."""
        ...

    def decode(self, data: bytes) -> object:
        """Return the value of untrusted bytes; whatever is wrong with them is a CodecError.

        Refused are nesting beyond MAX_DEPTH, map keys that repeat or are not text, numbers that
        are not finite, integers beyond 64 bits, invalid UTF-8, bytes after the value, and of
        MsgPack more than 50,000 maps.
        """
        ...


class _Json:
    """JSON (RFC 8259) by orjson, with what orjson lets pass refused.

    orjson keeps the last of repeated keys, and reads integers beyond 64 bits as floats. Outside
    its strings a valid text has one colon per member, so a repeated key shows as a colon too many.
    """

    name: Final = "json"
    code: Final = 0x6A

    def encode(self, value: object) -> bytes:
        if not _is_simple(value):
            _survey("JSON", value, _JSON_TYPES)
        try:
            return orjson.dumps(value)
        except (TypeError, RecursionError) as exc:
            raise _refused("JSON", value, exc) from exc

    def decode(self, data: bytes) -> object:
        try:
            value = orjson.loads(data)
        except (ValueError, TypeError, RecursionError) as exc:
            raise CodecError(f"body of {len(data)} bytes is not JSON: {exc}") from exc
        members = _survey("JSON", value, _JSON_TYPES)
        outside = _JSON_STRING.sub(b"", data)
        if outside.count(b":") != members:
            raise CodecError(f"JSON map key {_repeated_json_key(data)!r:.50} appears twice")
        for digits in _JSON_LONG_NUMBER.findall(outside):
            if len(digits) > _MAX_DIGITS or not _INT_MIN <= int(digits) <= _INT_MAX:
                raise CodecError(f"JSON integer {digits[:_MAX_DIGITS].decode()}… is beyond 64 bits")
        return cast("object", value)


class _MsgPack:
    """MsgPack (the 2013 specification, with str and bin), without extension types."""

    name: Final = "msgpack"
    code: Final = 0x6D

    def encode(self, value: object) -> bytes:
        if not _is_simple(value):
            _survey("MsgPack", value, _MSGPACK_TYPES)
        try:
            return cast("bytes", msgpack.packb(value))
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise _refused("MsgPack", value, exc) from exc

    def decode(self, data: bytes) -> object:
        try:
            hook = _map_of_pairs if len(data) <= _MAX_MAPS else _limited_map_of_pairs()
            value = msgpack.unpackb(data, object_pairs_hook=hook, strict_map_key=True)
        except (ValueError, TypeError, OverflowError, RecursionError) as exc:
            raise CodecError(f"body of {len(data)} bytes is not MsgPack: {_reason(exc)}") from exc
        if not _is_simple(value):
            _survey("MsgPack", value, _MSGPACK_TYPES)
        return cast("object", value)


JSON: Final[Codec] = _Json()
"""Text that anyone can read; what NATS carries by default."""

MSGPACK: Final[Codec] = _MsgPack()
"""Half the size and the time; what ZMQ carries by default."""

_CODECS: Final = (JSON, MSGPACK)
_BY_CODE: Final = {codec.code: codec for codec in _CODECS}


def codec_named(name: str) -> Codec:
    """Return the codec called `json` or `msgpack`; another name is a CodecError."""
    for codec in _CODECS:
        if codec.name == name:
            return codec
    raise CodecError(f"codec {name!r:.60} is not known; expected 'json' or 'msgpack'")


def codec_of_code(code: int) -> Codec:
    """Return the codec that a frame's header byte names; another byte is a CodecError."""
    codec = _BY_CODE.get(code)
    if codec is None:
        raise CodecError(f"codec byte {code:#04x} is not known; expected 0x6a or 0x6d")
    return codec


def _is_simple(value: object) -> bool:
    """Whether this is a flat map that cannot be wrong, or one name with such a map under it.

    Most requests and answers are; to look through them level by level would take longer.
    """
    if type(value) is dict and len(value) == 1:
        ((name, inner),) = value.items()
        if type(inner) is dict:
            return type(name) is str and _is_flat(inner)
    return _is_flat(value)


def _is_flat(value: object) -> bool:
    if type(value) is not dict or not set(map(type, value)) <= _TEXT:
        return False
    types = set(map(type, value.values()))
    return types <= _SCALARS and (
        float not in types or all(isfinite(v) for v in value.values() if type(v) is float)
    )


def _survey(codec_name: str, root: object, allowed: frozenset[type]) -> int:
    """Check the rules that the libraries do not, level by level; return the number of members.

    Whole levels go through map() and set(), so that a list of 10,000 lists costs a few passes of
    C code instead of a Python call for each value.
    """
    items: list[Any] = [root]
    members = 0
    for depth in range(MAX_DEPTH + 1):
        types = set(map(type, items))
        if not types <= allowed:
            _check_types(codec_name, root, depth, types - allowed)
        if float in types and not all(map(isfinite, [v for v in items if type(v) is float])):
            where = _path_to(root, _is_infinite, depth)
            raise CodecError(f"{codec_name} cannot carry the infinite number or NaN at {where}")
        if types.isdisjoint(_CONTAINERS):
            return members
        maps = [v for v in items if type(v) is dict and v] if dict in types else []
        items = list(chain.from_iterable([v for v in items if type(v) is list or type(v) is tuple]))
        if not set(map(type, chain.from_iterable(maps))) <= _TEXT:
            wrong = next(key for key in chain.from_iterable(maps) if type(key) is not str)
            raise CodecError(f"{codec_name} map key {wrong!r:.50} is not text")
        members += sum(map(len, maps))
        items.extend(chain.from_iterable(map(dict.values, maps)))
    raise CodecError(f"{codec_name} value is nested deeper than {MAX_DEPTH} levels")


def _check_types(codec_name: str, root: object, depth: int, unusual: set[type]) -> None:
    wrong = [kind for kind in unusual if not issubclass(kind, str | int)]  # enums are fine
    if wrong:
        where = _path_to(root, lambda value: type(value) is wrong[0], depth)
        raise CodecError(f"{codec_name} cannot carry the {wrong[0].__name__} at {where}")


def _path_to(root: object, is_wrong: Callable[[Any], bool], depth: int = MAX_DEPTH) -> str:
    """Return where the first wrong value is, like `$['models'][3]`."""
    path = f"${_find(root, is_wrong, depth) or ''}"
    return path if len(path) <= _MAX_PATH_CHARS else f"{path[:_MAX_PATH_CHARS]}…"


def _find(value: Any, is_wrong: Callable[[Any], bool], depth: int) -> str | None:  # noqa: ANN401 - any type may be wrong
    if is_wrong(value):
        return ""
    if depth and type(value) in _CONTAINERS:
        for key, inner in value.items() if type(value) is dict else enumerate(value):
            found = _find(inner, is_wrong, depth - 1)
            if found is not None:
                return f"[{key!r}]{found}"
    return None


def _is_infinite(value: object) -> bool:
    return type(value) is float and not isfinite(value)


def _is_beyond_wire(value: object) -> bool:
    if isinstance(value, int):
        return not _INT_MIN <= value <= _INT_MAX
    return isinstance(value, str) and _SURROGATE.search(value) is not None


def _refused(codec_name: str, value: object, exc: Exception) -> CodecError:
    where = _path_to(value, _is_beyond_wire)
    return CodecError(f"{codec_name} cannot carry the value at {where}: {exc}")


def _map_of_pairs(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError(f"map key {_repeated(pairs)!r:.50} appears twice")
    return made


def _limited_map_of_pairs() -> Callable[[list[tuple[Any, Any]]], dict[Any, Any]]:
    """Return `_map_of_pairs` for one body: a million empty maps would take half a second."""
    left = iter(range(_MAX_MAPS))

    def map_of_pairs(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        if next(left, None) is None:
            raise ValueError(f"more than {_MAX_MAPS} maps")
        return _map_of_pairs(pairs)

    return map_of_pairs


def _repeated(pairs: list[tuple[Any, Any]]) -> object:
    return Counter(key for key, _ in pairs).most_common(1)[0][0]


def _repeated_json_key(data: bytes) -> object:
    found: list[object] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) != len(pairs):
            found.append(_repeated(pairs))

    json.loads(data, object_pairs_hook=note, parse_int=str)  # int() refuses 4,300 digits
    return found[0]


def _reason(exc: Exception) -> str:
    """Return what MsgPack found wrong, also where the library says nothing."""
    match exc:
        case msgpack.ExtraData():
            return f"{len(exc.extra)} bytes follow the value"
        case msgpack.StackError():
            return f"nested deeper than {MAX_DEPTH} levels"
        case msgpack.FormatError():
            return "byte 0xc1 is never used"
        case _:
            return str(exc)
