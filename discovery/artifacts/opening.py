"""Where files come from, by a URL: a folder, a repository of Hugging Face, a bucket, a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from discovery.artifacts.credentials import PLAINTEXT
from discovery.artifacts.local import LocalSource
from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from discovery.artifacts.source import Source

SCHEMES: Final = ("file", "hf", "gs", "s3", "https", "http")

_SECRETS_OF_URLS: Final = PLAINTEXT | {
    *("sig", "signature", "x-amz-signature", "x-amz-security-token", "x-goog-signature"),
    *("access_token", "private_token", "job_token", "client_secret"),
}
_LONGEST_SCHEME: Final = 20
_PROVIDERS: Final = {"hf": "HuggingFace", "gs": "Gcs"}


def check_source(url: object) -> str:
    """Return the URL of a source; a path is that of a folder.

    Raises `InvalidArgumentError` for what is none, and for one that has a secret in it, which is
    not repeated.
    """
    if not isinstance(url, str) or not url or not url.isprintable():
        raise InvalidArgumentError(f"source {_told(url)}: expected a URL, or the path of a folder")
    scheme, between, rest = url.partition("://")
    if not between:
        if not url.startswith("/") or not url.strip("/."):
            raise InvalidArgumentError(
                f"source {_told(url)}: expected the absolute path of a folder, or a URL"
            )
        return Path(url).as_uri()
    if _has_secret(url):
        raise InvalidArgumentError(
            f"source {_told(url)}: has a secret in it, which would be stored; name it by "
            "credential_alias instead"
        )
    is_place = rest.startswith("/") if scheme == "file" else scheme in SCHEMES
    if not is_place or not rest.strip("/."):
        expected = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise InvalidArgumentError(
            f"source {_told(url)}: expected the path of a folder, or one of {expected}"
        )
    return url


def _has_secret(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text may have the secret in it
        raise InvalidArgumentError(f"source {_told(url)}: expected a URL, it is none") from None
    said = [*parse_qsl(parts.query, keep_blank_values=True), *parse_qsl(parts.fragment)]
    user, between, _ = parts.netloc.rpartition("@")
    is_revision = parts.scheme == "hf" and ":" not in user  # hf://gpt2@main
    is_named = any(name.lower() in _SECRETS_OF_URLS for name, _ in said)
    return is_named or (bool(between) and not is_revision)


def _told(url: object) -> str:
    """Return a source for a message; of one that may have a secret in it only the beginning."""
    if not isinstance(url, str) or not {"@", "?", "#"} & set(url):
        return shown(url)
    scheme, between, _ = url.partition("://")
    is_scheme = between and scheme.isalnum() and len(scheme) <= _LONGEST_SCHEME
    return f"{scheme}://…" if is_scheme else "…"


def provider_of(url: str) -> str:
    """Return of whom the files of a source are, as claims say it."""
    return _PROVIDERS.get(url.partition("://")[0], "File")


def check_takes_secret(url: str) -> None:
    """Raise `InvalidArgumentError` for a source that would show a secret to everybody."""
    scheme = url.partition("://")[0]
    if scheme == "http":
        expected = ", ".join(f"{scheme}://" for scheme in SCHEMES if scheme != "http")
        raise InvalidArgumentError(
            f"source {shown(url)}: no secret is sent to {scheme}://, expected one of {expected}"
        )


def open_source(url: str, secret: str | None = None, hub: str | None = None) -> Source:
    """Return the source of a URL that was checked; nothing is asked of it yet.

    Args:
        url: where it is.
        secret: which it wants, None for none.
        hub: the URL of another hub than that of Hugging Face.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return LocalSource(Path(unquote(rest)))
    from discovery.artifacts.remote import RemoteSource  # noqa: PLC0415 - the extra models

    return RemoteSource(url, provider_of(url), secret, hub)
