"""Secrets are named by an alias, looked up here, used and forgotten.

Source: spec/models.md §3, "pull, credentials".
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

from discovery.errors import InvalidArgumentError
from discovery.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

VARIABLE: Final = "DISCOVERY_CREDENTIAL_"
"""What the variable of an alias begins with."""

PLAINTEXT: Final = frozenset(
    {
        "api_key",
        "apikey",
        "api_token",
        "token",
        "auth_token",
        "bearer_token",
        "password",
        "secret",
        "hf_token",
        "huggingface_token",
        "huggingface_api_key",
    }
)
"""Fields in which somebody would send a secret."""

_ALIAS: Final = re.compile("[A-Za-z0-9_-]{1,64}")


def refuse_plaintext(names: Iterable[object]) -> None:
    """Raise `InvalidArgumentError` for a field that would carry a secret."""
    for name in names:
        if isinstance(name, str) and name.lower() in PLAINTEXT:
            raise InvalidArgumentError(
                f"field {name!r} is refused: no secret goes into a request; put it where the "
                f"puller runs, into the variable {VARIABLE}<ALIAS> or the file of "
                "artifacts.credentials_file, and name it by credential_alias"
            )


def check_alias(value: object) -> str | None:
    """Return an alias, None for none. Raises `InvalidArgumentError` for what is none."""
    if value is None:
        return None
    if not isinstance(value, str) or not _ALIAS.fullmatch(value):
        raise InvalidArgumentError(
            f"credential_alias {shown(value)}: expected 1 to 64 letters, digits, '_' or '-'"
        )
    return value


def secret_of(alias: str, environ: Mapping[str, str], file: Path | None) -> str:
    """Return the secret that an alias stands for: of the environment, else of the file.

    Raises `InvalidArgumentError`, which says where to put it, when there is none.
    """
    variable = VARIABLE + alias.upper().replace("-", "_")
    if variable in environ:
        return _checked(alias, environ[variable], f"the variable {variable}")
    secrets = _read(file) if file else {}
    if file and alias in secrets:
        return _checked(alias, secrets[alias], f"{file}")
    place = f"{file}, as `{alias} = ...`" if file else "the file of artifacts.credentials_file"
    raise InvalidArgumentError(
        f"credential_alias {alias!r} stands for nothing: put the secret into the variable "
        f"{variable}, or into {place}"
    )


def _checked(alias: str, secret: object, where: str) -> str:
    if not isinstance(secret, str) or not secret.strip():
        raise InvalidArgumentError(
            f"credential_alias {alias!r} stands for an empty secret: put one into {where}"
        )
    return secret.strip()


def _read(file: Path) -> dict[str, object]:
    """Return the secrets of a file that nobody else may read."""
    try:
        with file.open("rb") as opened:
            if file.stat().st_mode & 0o077:
                raise InvalidArgumentError(
                    f"credentials file {file}: others may read it; run: chmod 600 {file}"
                )
            return tomllib.load(opened)
    except OSError as error:
        raise InvalidArgumentError(f"credentials file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):  # may have a secret in it
        raise InvalidArgumentError(
            f'credentials file {file}: expected TOML, a line `alias = "secret"` each'
        ) from None
