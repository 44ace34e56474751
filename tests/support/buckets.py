"""Buckets of S3 and of Google, as much of them as their libraries ask for.

Sources: Amazon S3 API Reference, `ListObjectsV2`, `HeadObject`, `GetObject`; Signature Version 4;
Cloud Storage JSON API, `Objects: list`, `Objects: get`.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape

from tests.support.web import Answer, Asked, WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\w+)/([\w-]+)/s3/aws4_request, "
    r"SignedHeaders=([\w;-]+), Signature=(\w{64})"
)


class Buckets:
    """Buckets with objects, by `bucket/key`.

    Attributes:
        secret: which whoever asks must have, None for none.
        page: how many objects are listed at once.
        web: the server.
    """

    scheme: str
    variable: str  # of the environment, which says where the server is
    any_secret: str  # one of the right form

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.secret: str | None = None
        self.page = 1000
        self.web = WebServer(self._answer)
        self.url = self.web.url
        self._generations: dict[str, int] = {}
        self._numbers = itertools.count(1700)

    def put(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.objects[f"{bucket}/{key}"] = data
            self._generations[f"{bucket}/{key}"] = next(self._numbers)

    def reads(self, key: str) -> list[Asked]:
        """The requests for the bytes of an object."""
        found = [asked for asked in self.web.asked if asked.path.endswith(f"/{key}")]
        return [asked for asked in found if asked.method == "GET" and asked.headers.get("Range")]

    def close(self) -> None:
        self.web.close()

    def _answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def _listed(self, bucket: str, prefix: str, token: str) -> tuple[list[str], str]:
        """A page of the keys that begin so, and what the next one is asked for with."""
        names = sorted(self.objects)
        keys = [name.partition("/")[2] for name in names if name.startswith(f"{bucket}/{prefix}")]
        at = int(token or 0)
        return keys[at : at + self.page], str(at + self.page) if at + self.page < len(keys) else ""


class S3(Buckets):
    """`secret` is `KEYID:KEY`, with which every request must be signed."""

    scheme = "s3"
    variable = "AWS_ENDPOINT_URL"
    any_secret = "AKID7:aWs/+secret"

    def _answer(self, asked: Asked) -> Answer:
        if refused := self._refused(asked):
            return refused
        bucket, _, key = asked.path.removeprefix("/").partition("/")
        if not any(name.startswith(f"{bucket}/") for name in self.objects):
            return _s3_error(404, "NoSuchBucket", "The specified bucket does not exist")
        if not key:
            return self._list(asked, bucket)
        data = self.objects.get(f"{bucket}/{key}")
        if data is None:
            return _s3_error(404, "NoSuchKey", "The specified key does not exist.")
        tag = _etag(data)
        if asked.headers.get("If-Match", tag) != tag:
            told = "At least one of the pre-conditions you specified did not hold"
            return _s3_error(412, "PreconditionFailed", told)
        return Answer(200, data, {"ETag": tag, "Last-Modified": _MODIFIED}, has_ranges=True)

    def _list(self, asked: Asked, bucket: str) -> Answer:
        prefix, token = asked.query.get("prefix", ""), asked.query.get("continuation-token", "")
        keys, following = self._listed(bucket, prefix, token)
        rows = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><ETag>{escape(_etag(data))}</ETag>"
            f"<Size>{len(data)}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
            for data in [self.objects[f"{bucket}/{key}"]]
        )
        more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>1000</MaxKeys>"
            f"<EncodingType>url</EncodingType><KeyCount>{len(keys)}</KeyCount>"
            f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>{more}{rows}"
            "</ListBucketResult>"
        )
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _refused(self, asked: Asked) -> Answer | None:
        if self.secret is None:
            return None
        key_id, _, key = self.secret.partition(":")
        found = _SIGNED.fullmatch(asked.headers.get("Authorization", ""))
        if found is None:
            return _s3_error(403, "AccessDenied", "Access Denied")
        if found[1] != key_id:
            told = f"The AWS Access Key Id you provided, {found[1]}, does not exist in our records."
            return _s3_error(403, "InvalidAccessKeyId", told)
        if not hmac.compare_digest(_signature(asked, found, key), found[5]):
            told = "The request signature we calculated does not match the signature you provided."
            return _s3_error(403, "SignatureDoesNotMatch", told)
        return None


class Google(Buckets):
    """`secret` is an access token."""

    scheme = "gs"
    variable = "STORAGE_EMULATOR_HOST"
    any_secret = "ya29.t0ken"

    def _answer(self, asked: Asked) -> Answer:
        return self._refused(asked) or self._answered(asked)

    def _refused(self, asked: Asked) -> Answer | None:
        sent = asked.headers.get("Authorization")
        if self.secret is None or sent == f"Bearer {self.secret}":
            return None
        if sent is None:
            told = "Anonymous caller does not have storage.objects.list access"
            return _google_error(401, told)
        return _google_error(403, f"The caller of {sent} does not have storage.objects access")

    def _answered(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.target).path.split("/b/", 1)[-1].split("/")  # quoted still
        bucket, key = parts[0], asked.path.partition("/o/")[2]
        if not any(name.startswith(f"{bucket}/") for name in self.objects):
            return _google_error(404, "The specified bucket does not exist.")
        if not key:
            return self._list(asked, bucket)
        name = f"{bucket}/{key}"
        generation = str(self._generations.get(name))
        if asked.query.get("generation", generation) != generation or name not in self.objects:
            return _google_error(404, f"No such object: {name}")
        if asked.query.get("alt") == "media":
            return Answer(
                200, self.objects[name], {"X-Goog-Generation": generation}, has_ranges=True
            )
        return _json(self._object(bucket, key))

    def _list(self, asked: Asked, bucket: str) -> Answer:
        keys, following = self._listed(
            bucket, asked.query.get("prefix", ""), asked.query.get("pageToken", "")
        )
        value = {"kind": "storage#objects", "items": [self._object(bucket, key) for key in keys]}
        return _json(value | ({"nextPageToken": following} if following else {}))

    def _object(self, bucket: str, key: str) -> dict[str, object]:
        name = f"{bucket}/{key}"
        return {
            "kind": "storage#object",
            "name": key,
            "bucket": bucket,
            "size": str(len(self.objects[name])),
            "generation": str(self._generations[name]),
            "updated": "2026-01-01T00:00:00.000Z",
            "timeCreated": "2026-01-01T00:00:00.000Z",
        }


_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _s3_error(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Answer(status, body, {"Content-Type": "application/xml"})


def _google_error(status: int, message: str) -> Answer:
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Answer(status, body, {"Content-Type": "application/json"})


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _signature(asked: Asked, signed: re.Match[str], key: str) -> str:
    """What a request is to be signed with."""
    _, day, region, names, _ = signed.groups()
    parts = urlsplit(asked.target)
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    canonical = "\n".join(
        [
            asked.method,
            parts.path,
            "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query),
            *(f"{name}:{(asked.headers[name] or '').strip()}" for name in names.split(";")),
            "",
            names,
            asked.headers["X-Amz-Content-SHA256"],
        ]
    )
    scope = f"{day}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{asked.headers['X-Amz-Date']}\n{scope}\n{hashed}"
    secret = f"AWS4{key}".encode()
    for word in (day, region, "s3", "aws4_request", text):
        secret = hmac.digest(secret, word.encode(), "sha256")
    return secret.hex()


@contextmanager
def running(buckets: Buckets) -> Iterator[Buckets]:
    """Close a server at the end of the block."""
    try:
        yield buckets
    finally:
        buckets.close()
