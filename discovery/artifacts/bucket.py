"""Buckets, of S3 through s3fs and of Google through gcsfs; both ask again by themselves."""

from __future__ import annotations

import posixpath
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from discovery.artifacts.server import ChangedError, Found, Server
from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES: Final = 8 << 20
_SILENCE_S: Final = 30


class Bucket:
    """What is below a path of a bucket, or the one object that it is.

    Without a secret, what the machine itself may read: each library looks for that by its own
    rules, such as the role of the node.
    """

    revision: Final = ""

    def __init__(self, scheme: str, path: str, secret: str | None) -> None:
        self._path, self._sync = path, import_module("fsspec.asyn").sync
        self._is_google = scheme == "gs"
        self._files = _google(secret) if self._is_google else _s3(secret)
        connect = self._files._set_session if self._is_google else self._files.set_session  # noqa: SLF001 - it has no other
        self._session = self._sync(self._files.loop, connect)

    def find(self) -> Iterator[Found]:
        """Yield all objects, but the empty ones that stand for folders."""
        for where, info in self._files.find(self._path, detail=True).items():
            if info["type"] == "file" and not where.endswith("/"):
                is_one = where == self._path
                yield Found(
                    path=posixpath.basename(where)
                    if is_one
                    else where.removeprefix(f"{self._path}/"),
                    where=where,
                    size=info["size"],
                    tag=info["generation" if self._is_google else "ETag"],
                )

    def pieces(self, found: Found, start: int) -> Iterator[bytes]:
        """Yield the bytes of an object from `start` on."""
        assert found.size is not None  # noqa: S101 - every object has one
        while piece := self._piece(found, start, min(start + _PIECE_BYTES, found.size)):
            yield piece
            start += len(piece)

    def close(self) -> None:
        """Close all connections."""
        self._sync(self._files.loop, self._session.close)

    def _piece(self, found: Found, start: int, end: int) -> bytes:
        """Return a part of the version that was found."""
        if start >= end:
            return b""
        if self._is_google:
            piece: bytes = self._files.cat_file(
                found.where, start=start, end=end, generation=found.tag
            )
            return piece
        with self._files.open(found.where, "rb", cache_type="none") as opened:
            if opened.details["ETag"] != found.tag:
                raise ChangedError("has changed meanwhile")
            opened.seek(start)
            piece = opened.read(end - start)  # of this ETag, or nothing
            return piece


def _s3(secret: str | None) -> Any:  # noqa: ANN401 - S3FileSystem
    key, _, word = (secret or "").partition(":")
    if secret and not (key and word):
        raise InvalidArgumentError(
            "a secret for s3:// is expected to be the id of a key, ':' and the key"
        )
    # Instances are kept by fsspec, with their secrets, unless it is told not to.
    return import_module("s3fs").S3FileSystem(
        key=key or None, secret=word or None, skip_instance_cache=True
    )


def _google(secret: str | None) -> Any:  # noqa: ANN401 - GCSFileSystem
    # Not the class that is also for other kinds of buckets: it asks by gRPC which kind one is. A
    # token as a text would be sent to be looked at, in a URL.
    files, aiohttp = import_module("gcsfs.core"), import_module("aiohttp")
    credentials = import_module("google.oauth2.credentials").Credentials
    return files.GCSFileSystem(
        access="read_only",
        token=credentials(secret) if secret else None,
        requests_timeout=aiohttp.ClientTimeout(sock_connect=_SILENCE_S, sock_read=_SILENCE_S),
        skip_instance_cache=True,
    )


_: type[Server] = Bucket
