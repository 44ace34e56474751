"""One suite for every codec. What only one of them carries is a trait of its case."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass, field

import msgpack
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transports.codec import JSON, MAX_DEPTH, MSGPACK, Codec, codec_named, codec_of_code
from transports.errors import CodecError


@dataclass(frozen=True)
class Case:
    codec: Codec
    carries_bytes: bool
    lax_encode: object
    """Encodes without our rules, so that their breach can be offered to `decode`."""
    garbage: dict[bytes, str] = field(default_factory=dict)


CASES = [
    pytest.param(
        Case(
            codec=JSON,
            carries_bytes=False,
            lax_encode=lambda value: json.dumps(value).encode(),
            garbage={
                b"": "is not JSON",
                b"{": "is not JSON",
                b"[1,]": "trailing comma",
                b"1 2": "is not JSON",
                b'"\xff"': "UTF-8",
                b'"\\ud800"': "surrogate",
                b"{1: 2}": "is not JSON",
                b"NaN": "is not JSON",
                b"[-Infinity]": "is not JSON",
                b"1e999": "infinity",
                b"[" * 100_000: "is not JSON",
                b'{"a":1,"b":{"k":1,"k":{}}}': "map key 'k' appears twice",
                b'{"k":1,"x":' + b"9" * 5000 + b"}": "infinity",
                b'{"k":1,"k":' + b"9" * 300 + b"}": "map key 'k' appears twice",
                b'{"\\u006b":1,"k":2}': "map key 'k' appears twice",
                b"18446744073709551616": "integer 18446744073709551616… is beyond 64 bits",
                b'{"a":[-9223372036854775809]}': "beyond 64 bits",
                b"[1" + b"0" * 200 + b"]": "beyond 64 bits",
            },
        ),
        id="json",
    ),
    pytest.param(
        Case(
            codec=MSGPACK,
            carries_bytes=True,
            lax_encode=msgpack.packb,
            garbage={
                b"": "incomplete",
                b"\xc1": "byte 0xc1 is never used",
                b"\x01\x01\x01": "2 bytes follow the value",
                b"\xa1\xff": "utf-8",
                b"\xa3\xed\xa0\x80": "utf-8",
                b"\x81\x01\x01": "int is not allowed for map key",
                b"\x81\xc4\x01a\x01": "map key b'a' is not text",
                b"\x91\x81\xc4\x01a\x01": "map key b'a' is not text",
                b"\x81\xc4\x01a\x81\xa1b\x01": "map key b'a' is not text",
                b"\xcb\x7f\xf8\0\0\0\0\0\0": "the infinite number or NaN at $",
                b"\x81\xa1k\x92\x01\xca\xff\x80\0\0": "the infinite number or NaN at $['k'][1]",
                b"\xd4\x01a": "the ExtType at $",
                b"\x81\xa1k\xd6\xff\0\0\0\0": "the Timestamp at $['k']",
                b"\xdd\xff\xff\xff\xff": "exceeds max_array_len",
                b"\xdf\xff\xff\xff\xff": "exceeds max_map_len",
                b"\x91" * 100_000: "nested deeper than 32 levels",
                b"\x83\xa1a\x01\xa1k\x02\xa1k\x03": "map key 'k' appears twice",
            },
        ),
        id="msgpack",
    ),
]
GARBAGE = [
    pytest.param(case.values[0], data, text, id=f"{case.id}-{text}-{data[:12]!r}")
    for case in CASES
    for data, text in case.values[0].garbage.items()
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equal, in type too: 1, 1.0 and True are not the same."""
    return repr(one) == repr(other)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@given(VALUES)
@pytest.mark.parametrize("case", CASES)
def test_what_is_encoded_decodes_to_the_same(case, value):
    assert same(case.codec.decode(case.codec.encode(value)), value)


@given(st.binary(max_size=60))
@pytest.mark.parametrize("case", CASES)
def test_random_bytes_are_decoded_or_refused(case, data):
    try:
        value = case.codec.decode(data)
    except CodecError:
        return
    case.codec.encode(value)


@given(value=VALUES, at=st.integers(0), change=st.binary(max_size=4), cut=st.integers(0, 4))
@pytest.mark.parametrize("case", CASES)
def test_mutated_bytes_are_decoded_or_refused(case, value, at, change, cut):
    data = case.codec.encode(value)
    at %= len(data)
    try:
        found = case.codec.decode(data[:at] + change + data[at + cut :])
    except CodecError:
        return
    case.codec.encode(found)


@pytest.mark.parametrize(("case", "data", "text"), GARBAGE)
def test_garbage_is_refused_with_its_reason(case, data, text):
    with pytest.raises(CodecError) as refused:
        case.codec.decode(data)
    assert text in str(refused.value)
    assert len(str(refused.value)) < 400


def test_the_limits_of_integers_are_kept(case):
    for value in (0, -1, -(2**63), 2**63 - 1, 2**64 - 1):
        assert same(case.codec.decode(case.codec.encode([value])), [value])
    for value in (2**64, -(2**63) - 1, 10**5000):
        with pytest.raises(CodecError, match=r"at \$\['a'\]\[1\]: "):
            case.codec.encode({"a": [0, value]})


def test_depth_is_limited_both_ways(case):
    deepest = nested(MAX_DEPTH)
    assert case.codec.decode(case.codec.encode(deepest)) == deepest
    with pytest.raises(CodecError, match="nested deeper than 32 levels"):
        case.codec.encode([deepest])
    with pytest.raises(CodecError, match="nested deeper than 32 levels"):
        case.codec.decode(case.lax_encode([deepest]))
    with pytest.raises(CodecError, match="nested deeper than 32 levels"):
        case.codec.decode(case.lax_encode(nested(900)))


def test_a_map_inside_a_map_counts_as_depth(case):
    value: object = 1
    for _ in range(MAX_DEPTH + 1):
        value = {"k": value}
    with pytest.raises(CodecError, match="nested deeper than 32 levels"):
        case.codec.encode(value)


def test_a_value_that_holds_itself_is_refused(case):
    value: list[object] = []
    value.append(value)
    with pytest.raises(CodecError, match="nested deeper"):
        case.codec.encode(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
def test_a_number_that_is_not_finite_is_not_encoded(case, number):
    with pytest.raises(CodecError, match=r"infinite number or NaN at \$\['ttl_s'\]$"):
        case.codec.encode({"ttl_s": number})


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a", "x\udc00"]], ids=ascii)
def test_text_that_has_no_utf8_is_not_encoded(case, value):
    with pytest.raises(CodecError, match="cannot carry the value at"):
        case.codec.encode(value)


@pytest.mark.parametrize("key", [1, None, b"k", ("a",)], ids=repr)
def test_a_key_that_is_not_text_is_not_encoded(case, key):
    with pytest.raises(CodecError, match="is not text"):
        case.codec.encode({"a": {key: 1}})
    with pytest.raises(CodecError, match="is not text"):
        case.codec.encode({key: 1})
    with pytest.raises(CodecError, match="is not text"):
        case.codec.encode({key: {"a": 1}})


@pytest.mark.parametrize(
    "value", [object(), {1}, 1j, bytearray(b"x"), range(3)], ids=lambda value: type(value).__name__
)
def test_a_type_that_has_no_form_is_not_encoded_and_is_named_with_its_place(case, value):
    with pytest.raises(CodecError, match=rf"carry the {type(value).__name__} at \$\['a'\]\[0\]$"):
        case.codec.encode({"b": [], "a": [value]})


def test_a_long_way_to_a_wrong_value_is_cut(case):
    with pytest.raises(CodecError) as refused:
        case.codec.encode({"k" * 1000: object()})
    assert len(str(refused.value)) < 300


def test_bytes_are_carried_where_the_codec_has_them(case):
    if case.carries_bytes:
        assert case.codec.decode(case.codec.encode([b"\xff\0"])) == [b"\xff\0"]
    else:
        with pytest.raises(CodecError, match=r"carry the bytes at \$\[0\]"):
            case.codec.encode([b"\xff\0"])


def test_tuples_become_lists_and_members_of_enums_what_they_are(case):
    class Name(enum.StrEnum):
        A = "a"

    class Number(enum.IntEnum):
        ONE = 1

    decoded = case.codec.decode(case.codec.encode({"t": (Name.A, (Number.ONE,))}))
    assert same(decoded, {"t": ["a", [1]]})


def test_an_empty_map_and_list_are_kept_apart(case):
    assert same(case.codec.decode(case.codec.encode([{}, []])), [{}, []])


def test_codecs_are_found_by_name_and_by_code(case):
    assert codec_named(case.codec.name) is case.codec
    assert codec_of_code(case.codec.code) is case.codec


def test_an_unknown_name_or_code_is_refused():
    with pytest.raises(CodecError, match="codec 'xml' is not known; expected 'json' or 'msgpack'"):
        codec_named("xml")
    with pytest.raises(CodecError, match="codec byte 0x00 is not known; expected 0x6a or 0x6d"):
        codec_of_code(0)


JSON_TEXTS = st.recursive(
    st.sampled_from(["null", "true", '"a"', '"\\""', '"\\\\"', '":"', '"{[,"', "1", "-0", "1e-9"])
    | st.from_regex(r"-?[1-9][0-9]{16,21}(\.[0-9]{1,21})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    lambda inner: (
        st.lists(inner).map(lambda items: f"[{' ,'.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(['"a"', '"\\u0061"', '":"', '"\\\\"']), inner)).map(
            lambda items: "{" + ", ".join(f"{key} : {value}" for key, value in items) + "}"
        )
    ),
    max_leaves=12,
)


@given(JSON_TEXTS)
@example("[12345678901234567890123.5, 1e-00000000000000000000000007]")
@example("[-12345678901234567890123e1]")
def test_json_agrees_with_a_slow_and_strict_reader(text):
    """Our short cuts (counted colons, searched digits) against hooks of the standard library."""

    def strict_map(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    def strict_int(digits: str) -> int:
        if not -(2**63) <= int(digits) < 2**64:
            raise ValueError
        return int(digits)

    try:
        expected = json.loads(text, object_pairs_hook=strict_map, parse_int=strict_int)
    except ValueError:
        with pytest.raises(CodecError):
            JSON.decode(text.encode())
    else:
        assert same(JSON.decode(text.encode()), expected)


def test_json_with_a_million_quotes_or_digits_is_refused_in_linear_time():
    """Quadratic would be hours here."""
    for data in (b'"' + b'\\"' * 500_000, b"[" + b"9" * 1_000_000 + b".5]", b"[" * 1_000_000):
        with pytest.raises(CodecError):
            JSON.decode(data)


def test_json_is_the_text_that_orjson_writes():
    assert JSON.encode({"a": [1, None]}) == orjson.dumps({"a": [1, None]}) == b'{"a":[1,null]}'


@pytest.mark.parametrize("value", [{}, {"a": 1}], ids=str)
def test_msgpack_has_at_most_so_many_maps(value):
    good = [value] * 49_999 + [{"padding": "x" * 60_000}]
    assert MSGPACK.decode(msgpack.packb(good)) == good
    with pytest.raises(CodecError, match="is not MsgPack: more than 50000 maps"):
        MSGPACK.decode(msgpack.packb([*good, value]))
