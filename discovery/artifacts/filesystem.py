"""File systems of fsspec with an owner, who closes their connections."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class FileSystem:
    """An asynchronous file system for one source, whose connections are there from the start.

    fsspec would keep it, with the secret that it has, for others who ask for the same; and would
    close its connections when it happens to be collected, in a thread that its own loop may be
    waiting for.

    Args:
        kind: its class.
        options: of that.
    """

    def __init__(self, kind: Any, **options: Any) -> None:  # noqa: ANN401 - fsspec has no types
        self.files = kind(skip_instance_cache=True, **options)
        self.files.close_session = lambda *_: None
        self._sync = import_module("fsspec.asyn").sync
        connect = getattr(self.files, "set_session", None) or self.files._set_session  # noqa: SLF001 - gcsfs
        self._session = self._sync(self.files.loop, connect)

    def close(self) -> None:
        """Close all connections."""
        self._sync(self.files.loop, self._session.close)
