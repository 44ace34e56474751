"""Whether a program is ready: an HTTP URL of its own says so."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from discovery.errors import DeadlineExceededError, InvalidArgumentError

_PAUSE_S = 0.25
_ATTEMPT_S = 5.0


def check_ready_url(url: str) -> str:
    """Return a URL that can be asked. Raises `InvalidArgumentError` for any other."""
    if not url.startswith(("http://", "https://")):
        raise InvalidArgumentError(f"ready URL {url!r}: expected http://host:port/path")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise InvalidArgumentError(f"ready URL {url!r}: expected ASCII, the rest as %XX")
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        host.encode("idna")
        urllib.request.Request(url)  # noqa: S310 - the scheme is checked above
    except ValueError as error:
        raise InvalidArgumentError(f"ready URL {url!r}: {error}") from error
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What must answer before a program is registered, and by when.

    `within_s` None waits for ever.
    """

    url: str
    within_s: float | None

    async def reached(self) -> None:
        """Wait until a GET is answered with a status from 200 to 299.

        Raises `DeadlineExceededError` when that does not happen in time.
        """
        why = "not asked yet"
        try:
            async with asyncio.timeout(self.within_s):
                while refusal := await asyncio.to_thread(_refusal, self.url):
                    why = refusal
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            text = f"{self.url}: the program is not ready within {self.within_s} s; last: {why}"
            raise DeadlineExceededError(text) from None


def _refusal(url: str) -> str | None:
    """Return why the program is not ready, None when it is.

    A proxy of the environment is not used: it would answer for the program.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ATTEMPT_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.reason}"
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: of a redirect
        return str(getattr(error, "reason", error)) or type(error).__name__
