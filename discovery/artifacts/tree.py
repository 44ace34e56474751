"""What is below a folder of the cache: how much, whether it is what a manifest says, its end."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from typing import TYPE_CHECKING, Final

from discovery.artifacts.entry import MANIFEST
from discovery.artifacts.manifest import decode_manifest
from discovery.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from discovery.artifacts.manifest import Manifest, ManifestFile

_MOST_MANIFEST_BYTES: Final = 64 << 20


class UnhealthyError(Exception):
    """A tree is not what its manifest says; `manifest` is what could be read of that."""

    def __init__(self, detail: str, manifest: Manifest | None = None) -> None:
        super().__init__(detail)
        self.manifest = manifest


def checked(tree: Path) -> Manifest:
    """Return the manifest of a tree whose files are all there, with their sizes.

    Raises `UnhealthyError`, which says what is wrong.
    """
    manifest = _manifest(tree)
    for file in manifest.files:
        _check_size(tree, file, manifest)
    return manifest


def check_bytes(tree: Path, manifest: Manifest, check: Callable[[], None]) -> None:
    """Hash all files. Raises `UnhealthyError` for the first that is not what the manifest says."""
    for file in manifest.files:
        hasher = hashlib.sha256()
        try:
            with (tree / file.path).open("rb", buffering=0) as opened:
                while piece := opened.read(1 << 20):
                    check()
                    hasher.update(piece)
        except OSError as error:
            detail = f"unreadable artifact file {file.path!r}: {error.strerror}"
            raise UnhealthyError(detail, manifest) from error
        if hasher.hexdigest() != file.sha256:
            detail = (
                f"sha256 mismatch for {file.path!r}: manifest={file.sha256} "
                f"actual={hasher.hexdigest()}"
            )
            raise UnhealthyError(detail, manifest)


def footprint_bytes(tree: Path) -> int:
    """Return how many bytes all files below a folder have, or those of the file that it is."""
    try:
        if not stat.S_ISDIR(tree.lstat().st_mode):
            return tree.lstat().st_size
        with os.scandir(tree) as entries:
            found = list(entries)
    except OSError:  # it goes away meanwhile
        return 0
    return sum(footprint_bytes(tree / entry.name) for entry in found)


def sync_folders(tree: Path) -> None:
    """Have the names of all files below a folder on disk, as their bytes are."""
    for folder, _, _ in os.walk(tree):
        sync_folder(folder)


def sync_folder(folder: Path | str) -> None:
    """Have the names in a folder on disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove(tree: Path) -> None:
    """Remove a folder, or the file that it is; what cannot be removed stays for another time."""
    if tree.is_symlink() or not tree.is_dir():
        tree.unlink(missing_ok=True)
    else:
        shutil.rmtree(tree, ignore_errors=True)


def _manifest(tree: Path) -> Manifest:
    if tree.is_symlink() or not tree.is_dir():
        raise UnhealthyError("it is not a folder")
    path = tree / MANIFEST
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):  # a link may lead anywhere, and a fifo never ends
            raise UnhealthyError("manifest unreadable: it is not a file")
        if status.st_size > _MOST_MANIFEST_BYTES:
            raise UnhealthyError("manifest unreadable: it is larger than 64 MiB")
        data = path.read_bytes()
    except OSError as error:
        raise UnhealthyError(f"manifest unreadable: {error.strerror}") from error
    try:
        return decode_manifest(data)
    except InvalidArgumentError as error:
        raise UnhealthyError(str(error)) from error


def _check_size(tree: Path, file: ManifestFile, manifest: Manifest) -> None:
    where, status = tree, None
    try:
        for part in file.path.split("/"):
            where /= part
            status = where.lstat()
            if stat.S_ISLNK(status.st_mode):
                raise UnhealthyError(f"artifact file {file.path!r} leads through a link", manifest)
    except OSError as error:
        detail = f"missing artifact file {file.path!r}: {error.strerror}"
        raise UnhealthyError(detail, manifest) from error
    assert status is not None  # noqa: S101 - a path has parts
    if not stat.S_ISREG(status.st_mode):
        raise UnhealthyError(f"artifact file {file.path!r} is not a file", manifest)
    if status.st_size != file.size_bytes:
        detail = (
            f"size mismatch for {file.path!r}: manifest={file.size_bytes} actual={status.st_size}"
        )
        raise UnhealthyError(detail, manifest)
