"""Where things lie in a cache.

{entry}/…, {entry}/manifest.json   what is installed
.staging/{entry}-{mark}/…          what is being installed
.purge/{entry}-{mark}/…            what was installed before, and is put back if that fails
.purge/{entry}-{mark}.drop/…       what was dropped
.partial/{entry}/…                 what is here of a download that is not complete
.locks/{entry}/…                   who installs or drops
.uses/{entry}/…                    which processes use it
.stamps/{entry}.json               what became of it
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from discovery.artifacts.entry import check_entry, is_entry
from discovery.errors import InvalidArgumentError, PermissionDeniedError
from discovery.names import shown

DROPPED: Final = ".drop"

_ASIDE: Final = re.compile(r"(.+)-[0-9a-f]{16}(?:\.drop)?")
_TAKEN_OVER: Final = re.compile(r"(.+)-\d+-\d+-\d+")
"""In a cache that was taken over from the system of which the layout is."""


class Layout:
    """The folders of one cache. Raises `InvalidArgumentError` for a root that is a file."""

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InvalidArgumentError(
                f"cache root {shown(str(root))}: expected a folder, it is a file"
            ) from error
        self.root = root.resolve()

    def entry(self, name: str) -> Path:
        """Return the folder of what is installed."""
        return self.root / check_entry(name)

    def entries(self) -> list[str]:
        """Return what there is, in the order of the names; others' files are left alone."""
        return sorted(path.name for path in self.root.iterdir() if is_entry(path.name))

    @property
    def staging(self) -> Path:
        """What is being installed."""
        return self.root / ".staging"

    @property
    def purge(self) -> Path:
        """What is on its way out."""
        return self.root / ".purge"

    def partial(self, name: str) -> Path:
        """Return the folder of a download that is not complete."""
        return self.root / ".partial" / check_entry(name)

    def uses(self, name: str) -> Path:
        """Return the folder of the marks of those who use an entry."""
        return self.root / ".uses" / check_entry(name)

    def stamp(self, name: str) -> Path:
        """Return the file that says what became of an entry."""
        return self.root / ".stamps" / f"{check_entry(name)}.json"

    @staticmethod
    def aside(folder: Path, name: str, ending: str = "") -> Path:
        """Return a place of its own in `.staging` or `.purge`, which is made if need be."""
        folder.mkdir(exist_ok=True)
        return folder / f"{check_entry(name)}-{secrets.token_hex(8)}{ending}"

    @staticmethod
    def entry_of_aside(name: str) -> str | None:
        """Return whose a tree in `.staging` or `.purge` is, None if it is not one of a cache."""
        found = _ASIDE.fullmatch(name) or _TAKEN_OVER.fullmatch(name)
        try:
            return check_entry(found[1]) if found else None
        except InvalidArgumentError:
            return None


def temporary_root() -> Path:
    """Return the folder under the temporary folder that is this user's and nobody else's."""
    root = Path(tempfile.gettempdir()) / f"discovery-artifacts-{os.getuid()}"
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
    status = root.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionDeniedError(
            f"cache root {shown(str(root))}: made by another user; name one of your own"
        )
    return root
