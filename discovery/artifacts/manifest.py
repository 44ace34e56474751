"""The manifest of an installed model: which files it has, and what must be in them. Sans-I/O.

Source: spec/models.md §3.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from discovery.artifacts.entry import check_entry, check_path
from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_ENGINE: Final = "candle"
DEFAULT_TASK: Final = "embedding"

_SHA256: Final = re.compile("[0-9a-f]{64}")
_TEXTS: Final = ("name", "source", "revision", "task", "engine")
_NUMBERS: Final = ("dimensions", "installed_at_unix_ms", "total_size_bytes")
_LARGEST: Final = 2**63 - 1
_NO_UTF8: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """One file: where it is below its model, and what is in it.

    Attributes:
        path: relative, with `/` between its parts.
        sha256: of its bytes, 64 hexadecimal digits.
        size_bytes: how many there are.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is said of a model's files, beside the files themselves.

    Attributes:
        name: the cache entry.
        source: the URL that they came from.
        revision: the source's own, such as a commit; empty where it has none.
        task: what the model does.
        engine: what runs it.
        dimensions: of its embeddings, 0 if that is not known.
    """

    name: str
    source: str
    revision: str = ""
    task: str = DEFAULT_TASK
    engine: str = DEFAULT_ENGINE
    dimensions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Described):
    """What is installed.

    Attributes:
        installed_at_unix_ms: when.
        total_size_bytes: of all files.
        files: in the order of their paths.
    """

    installed_at_unix_ms: int
    total_size_bytes: int
    files: Sequence[ManifestFile]

    def to_wire(self) -> dict[str, object]:
        """Return the map that `manifest_of` reads."""
        files = [
            {"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes}
            for file in self.files
        ]
        head = {name: getattr(self, name) for name in (*_TEXTS, *_NUMBERS)}
        return {**head, "files": files}

    def encode(self) -> bytes:
        """Return it as JSON for people and programs."""
        return json.dumps(self.to_wire(), indent=1, ensure_ascii=False).encode() + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest that `data` is.

    Raises `InvalidArgumentError`, which says whether it is no JSON or what in it is wrong.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"manifest is not valid JSON: {error}") from error
    try:
        return manifest_of(value)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"manifest schema invalid: {error}") from error


def manifest_of(value: object) -> Manifest:
    """Return the manifest of a map. Raises `InvalidArgumentError`, which names what is wrong."""
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"expected an object, got {shown(value)}")
    texts = {name: _text(value, name) for name in _TEXTS}
    numbers = {name: _number(value, name) for name in _NUMBERS}
    found = value.get("files")
    if not isinstance(found, list):
        raise InvalidArgumentError(f"files: expected a list, got {shown(found)}")
    files = [_file(f"files[{index}]", file) for index, file in enumerate(found)]
    paths = {file.path for file in files}
    if not files or len(paths) != len(files):
        raise InvalidArgumentError("files: expected one or more, each with a path of its own")
    total = sum(file.size_bytes for file in files)
    if total != numbers["total_size_bytes"]:
        told = numbers["total_size_bytes"]
        raise InvalidArgumentError(f"total_size_bytes {told}: expected the sum of files, {total}")
    return Manifest(
        name=check_entry(texts["name"]),
        source=texts["source"],
        revision=texts["revision"],
        task=texts["task"],
        engine=texts["engine"],
        dimensions=numbers["dimensions"],
        installed_at_unix_ms=numbers["installed_at_unix_ms"],
        total_size_bytes=total,
        files=files,
    )


def _file(where: str, value: object) -> ManifestFile:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"{where}: expected an object, got {shown(value)}")
    try:
        path, sha256 = check_path(value.get("path")), _text(value, "sha256")
        size_bytes = _number(value, "size_bytes")
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: {error}") from error
    if not _SHA256.fullmatch(sha256):
        raise InvalidArgumentError(
            f"{where}: sha256 {shown(sha256)}: expected 64 hexadecimal digits in lower case"
        )
    return ManifestFile(path=path, sha256=sha256, size_bytes=size_bytes)


def _text(value: Mapping[str, object], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or _NO_UTF8.search(text):
        raise InvalidArgumentError(f"{name}: expected a text, got {shown(text)}")
    return text


def _number(value: Mapping[str, object], name: str) -> int:
    number = value.get(name)
    if type(number) is not int or not 0 <= number <= _LARGEST:
        raise InvalidArgumentError(f"{name}: expected a number of 0 or more, got {shown(number)}")
    return number
