"""Files from afar as a source: repositories of Hugging Face, buckets, web servers."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from discovery.artifacts.bucket import Bucket
from discovery.artifacts.entry import check_path, is_skipped
from discovery.artifacts.hub import Hub
from discovery.artifacts.source import Listing, Source, SourceFile
from discovery.artifacts.web import Web
from discovery.errors import (
    DiscoveryError,
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from discovery.artifacts.server import Found, Server

_EXTRAS: Final = {"gs": "gcs", "s3": "s3"}
_QUERY: Final = re.compile(r"(://[^\s'\"?]*)\?[^\s'\"]+")  # may have a signature in it
_REVISION_DIGITS: Final = 40


class RemoteSource:
    """All files below a URL, but hidden ones and manifests.

    Of a web server that is one file, or, where the URL ends with `/`, what the page of that folder
    has links to, and those of the folders below it.

    Args:
        url: was checked.
        provider: as claims say it.
        secret: a token; for `s3://` the id of a key, `:` and the key.
        hub: the URL of the hub; None is that of Hugging Face, unless HF_ENDPOINT says another.
    """

    is_resumable: Final = True

    def __init__(
        self, url: str, provider: str, secret: str | None = None, hub: str | None = None
    ) -> None:
        self.url, self.provider = url, provider
        self._secret, self._hub = secret, hub
        self._server: Server | None = None
        self._found: Mapping[str, Found] = {}

    def list(self) -> Listing:
        """Return its files.

        The revision is the commit of Hugging Face, elsewhere a hash of what is said of the files.
        """
        try:
            self.close()
            self._server = self._opened()
            self._found = {file.path: file for file in self._server.find(self._takes)}
        except DiscoveryError:
            raise
        except ImportError as error:
            extra = _EXTRAS.get(self.url.partition("://")[0], "models")
            raise FailedPreconditionError(
                f"source {self.url}: needs what is not installed ({error}); run: "
                f"pip install 'discoveryd[{extra}]'"
            ) from error
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise self._told(error) from None
        if not self._found:
            raise InvalidArgumentError(
                f"source {self.url}: has no files to install (hidden files and manifest.json are "
                "left out)"
            )
        found = [self._found[path] for path in sorted(self._found)]
        told = "".join(f"{file.path}\0{file.size}\0{file.tag}\n" for file in found).encode()
        hashed = hashlib.sha256(told).hexdigest()[:_REVISION_DIGITS]
        return Listing(
            files=[self._file(file) for file in found], revision=self._server.revision or hashed
        )

    def read(self, file: SourceFile, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file; empty pieces while it waits."""
        assert self._server is not None  # noqa: S101 - a file is one of a list
        try:
            yield from self._server.pieces(self._found[file.path], start)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise self._told(error, file.path) from None

    def close(self) -> None:
        """Close all connections."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _opened(self) -> Server:
        scheme, _, rest = self.url.partition("://")
        match scheme:
            case "hf":
                return Hub(rest, self._secret, self._hub)
            case "s3" | "gs":
                return Bucket(scheme, rest.rstrip("/"), self._secret)
            case _:
                return Web(self.url, self._secret)

    def _takes(self, path: str) -> bool:
        """Say whether a file is not left out. Raises `InvalidArgumentError` for a bad path."""
        if any(is_skipped(part) for part in path.split("/") if part not in {".", ".."}):
            return False
        try:
            check_path(path)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"source {self.url}: {error}") from error
        return True

    def _file(self, found: Found) -> SourceFile:
        if found.size is None:
            raise InvalidArgumentError(
                f"source {self.url}: the server does not say how long {found.path} is"
            )
        return SourceFile(path=found.path, size_bytes=found.size, sha256=found.sha256)

    def _told(self, error: Exception, path: str | None = None) -> DiscoveryError:
        """Return the error of ours for one of a library, without any secret.

        Args:
            error: of the library.
            path: of the file that was read, None when files were listed.
        """
        text = _QUERY.sub(r"\1?…", " ".join(f"{type(error).__name__}: {error}".split()))
        for secret in _parts(self._secret, self.url):
            text = text.replace(secret, "***")
        told = f"source {self.url}: {path}: {text}" if path else f"source {self.url}: {text}"
        status = _status(error)
        if status in {401, 403} or _is_refusal(error):
            hint = "check the secret" if self._secret else "name a secret by credential_alias"
            return PermissionDeniedError(f"{told}; {hint}")
        is_wrong = status in {400, 404, 410} or isinstance(error, (FileNotFoundError, ValueError))
        if is_wrong and path is None:
            return InvalidArgumentError(told)
        return UnavailableError(told)  # what was listed has changed or is gone: list it again


def _parts(secret: str | None, url: str) -> list[str]:
    """Return what of a secret nobody may see."""
    parts = (secret or "").split(":", 1) if url.startswith("s3:") else ()
    return [part for part in (secret, *parts) if part]


def _is_refusal(error: Exception) -> bool:
    """Say whether an error without a status is one of permissions: s3fs, botocore and gcsfs."""
    is_unknown = type(error).__name__ == "NoCredentialsError"
    return is_unknown or isinstance(error, PermissionError) or str(error).startswith("Forbidden")


def _status(error: Exception) -> int | None:
    """Return the HTTP status of a library's error, None if it has none."""
    response = getattr(error, "response", None)
    for of in (error, response):
        for name in ("status", "status_code", "code"):
            value = getattr(of, name, None)
            if type(value) is int:
                return value
    return None


_: type[Source] = RemoteSource
