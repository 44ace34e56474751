"""Buckets, of S3 through s3fs and of Google through gcsfs; both ask again by themselves."""

from __future__ import annotations

import posixpath
from importlib import import_module
from typing import TYPE_CHECKING, Final

from discovery.artifacts.filesystem import FileSystem
from discovery.artifacts.server import ChangedError, Found, Server
from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE_BYTES: Final = 8 << 20
_SILENCE_S: Final = 10


class Bucket:
    """What is below a path of a bucket, or the one object that it is.

    Without a secret, what the machine itself may read: each library looks for that by its own
    rules, such as the role of the node.
    """

    revision: Final = ""

    def __init__(self, scheme: str, path: str, secret: str | None) -> None:
        self._path, self._is_google = path, scheme == "gs"
        self._owned = _google(secret) if self._is_google else _s3(secret)
        self._files = self._owned.files

    def find(self, takes: Callable[[str], bool]) -> Iterator[Found]:
        """Yield all objects, but the empty ones that stand for folders."""
        for where, info in self._files.find(self._path, detail=True).items():
            below = where.removeprefix(f"{self._path}/")
            path = posixpath.basename(where) if where == self._path else below
            if info["type"] == "file" and not where.endswith("/") and takes(path):
                tag = str(info.get("generation" if self._is_google else "ETag") or "")
                yield Found(path=path, where=where, size=info["size"], tag=tag)

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of an object from `start` on."""
        assert found.size is not None  # noqa: S101 - every object has one
        while piece := self._piece(found, start, min(start + _PIECE_BYTES, found.size)):
            yield piece
            start += len(piece)

    def close(self) -> None:
        """Close all connections."""
        self._owned.close()

    def _piece(self, found: Found, start: int, end: int) -> bytes:
        """Return a part of the version that was found."""
        if start >= end:
            return b""
        if self._is_google:
            which = {"start": start, "end": end, "generation": found.tag or None}
            return bytes(self._files.cat_file(found.where, **which))
        with self._files.open(found.where, "rb", cache_type="none") as opened:
            if opened.details.get("ETag", "") != found.tag:
                raise ChangedError("it has changed since it was listed")
            opened.seek(start)
            return bytes(opened.read(end - start))  # of this ETag, or nothing


def _s3(secret: str | None) -> FileSystem:
    key, _, word = (secret or "").partition(":")
    if secret and not (key and word):
        raise InvalidArgumentError(
            "a secret for s3:// is expected to be the id of a key, ':' and the key"
        )
    files = import_module("s3fs").S3FileSystem
    return FileSystem(files, key=key or None, secret=word or None)


def _google(secret: str | None) -> FileSystem:
    # Not the class that knows other kinds of buckets too: it asks by gRPC which kind each is. And
    # a token that is a text would be sent, in a URL, to be looked at.
    files, aiohttp = import_module("gcsfs.core").GCSFileSystem, import_module("aiohttp")
    credentials = import_module("google.oauth2.credentials").Credentials
    return FileSystem(
        files,
        access="read_only",
        token=credentials(secret) if secret else None,
        requests_timeout=aiohttp.ClientTimeout(sock_connect=_SILENCE_S, sock_read=_SILENCE_S),
    )


_: type[Server] = Bucket
