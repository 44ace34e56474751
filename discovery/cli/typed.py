"""What is typed or piped in, as values: places, instance ids, cards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from discovery.cli.kinds import names_in
from discovery.errors import InvalidArgumentError
from discovery.ids import parse_id, parse_instance_id
from transports.codec import JSON
from transports.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.ids import InstanceId
    from discovery.jsonvalue import Json

_LEVELS: Final = ("namespace", "component", "endpoint")


def place_of(text: str) -> dict[str, str]:
    """Return the levels of "NS/COMP/EP".

    Raises:
        click.UsageError: it has more names, or fewer.
    """
    names = names_in(text)
    if len(names) != len(_LEVELS):
        raise click.UsageError(f"place {text!r}: {len(names)} names, expected {'/'.join(_LEVELS)}")
    return dict(zip(_LEVELS, names, strict=True))


def instance_id_of(text: str) -> int:
    """Return the number of an instance id in hexadecimal, or of an id that ends with one.

    Raises:
        InvalidArgumentError: it is neither.
    """
    return parse_id(text).instance_id if "/" in text else parse_instance_id(text)


def identity_of(text: str) -> InstanceId:
    """Return the id of its text form.

    Raises:
        InvalidArgumentError: it has another form.
    """
    if "/" in text:
        return parse_id(text)
    raise InvalidArgumentError(
        f"id {text!r}: expected endpoints/NS/COMP/EP/ID, models/… or channels/…, as "
        "`discoveryctl -o name get` prints them"
    )


def card_of(source: str) -> Mapping[str, Json]:
    """Return the card in a file, or in what is piped in for "-".

    Raises:
        InvalidArgumentError: it cannot be read, or is no JSON object.
    """
    try:
        data = _read(source)
    except OSError as error:
        raise InvalidArgumentError(f"card {source}: {error.strerror}") from error
    return _object(f"card {source}", data)


def config_of(text: str) -> Mapping[str, Json]:
    """Return the JSON object that is typed, or that a file holds for "@FILE", stdin for "@-".

    Raises:
        InvalidArgumentError: it cannot be read, or is no JSON object.
    """
    if not text.startswith("@"):
        return _object("--config", text.encode(errors="surrogateescape"))
    try:
        data = _read(text[1:])
    except OSError as error:
        raise InvalidArgumentError(f"--config {text}: {error.strerror}") from error
    return _object(f"--config {text}", data)


def _read(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()


def _object(what: str, data: bytes) -> Mapping[str, Json]:
    try:
        value = JSON.decode(data)
    except CodecError as error:
        raise InvalidArgumentError(f"{what}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"{what}: expected a JSON object")
    return value
