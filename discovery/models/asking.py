"""Requests about catalog and claims, in which a caller sees what it has been told of before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from discovery.errors import InternalError
from discovery.fields import Fields
from discovery.keeper import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.background import Background
    from discovery.jobqueue import Deed
    from discovery.participant import Participant


class Asking:
    """Sends requests of one process. A read is not older than what it was told of a change.

    Args:
        here: gives what is on the I/O thread; raises when there is nothing.
        io: gives that thread; raises when this process may not use it.
        tenant: in whose name is asked.
    """

    def __init__(
        self,
        here: Callable[[], Participant],
        io: Callable[[], Background],
        tenant: str | None = None,
    ) -> None:
        self._here, self._io, self._tenant = here, io, tenant
        self._epoch, self._revision = "", 0

    async def change(self, op: str, **fields: object) -> Fields:
        """Ask for a change that may be asked for again; return the answer."""
        answer = await self._io().run(self._here().ask(op, **self._as_tenant(fields)))
        return self._noted(answer)

    async def do(self, deed: Deed, what: str) -> Fields:
        """Do a deed in the name of this process; what is not done, or not waited for, is undone."""
        here, io, ticket = self._here(), self._io(), Ticket()
        within_s = here.settings.request_timeout_s
        try:
            return self._noted(await io.run(here.keeper.do(deed, what, within_s, ticket)))
        except asyncio.CancelledError:
            io.call(here.keeper.undo, ticket, deed)  # it may be done, and only word of it be coming
            raise

    async def read(self, op: str, **fields: object) -> Mapping[str, object]:
        """Return what a daemon answers."""
        return await self._io().run(self._here().ask(op, **self._since(fields)))

    async def rows(self, op: str, **fields: object) -> Sequence[Mapping[str, object]]:
        """Return the rows that a daemon answers."""
        return await self._io().run(self._here().ask_rows(op, **self._since(fields)))

    def _since(self, fields: Mapping[str, object]) -> dict[str, object]:
        seen = {"epoch": self._epoch, "min_revision": self._revision}
        return {**self._as_tenant(fields), **seen}

    def _as_tenant(self, fields: Mapping[str, object]) -> dict[str, object]:
        return {**fields} if self._tenant is None else {**fields, "tenant": self._tenant}

    def _noted(self, answer: Mapping[str, object]) -> Fields:
        read = Fields("answer", dict(answer))
        epoch, revision = read.text("epoch"), read.integer("revision")
        if epoch != self._epoch:
            self._epoch, self._revision = epoch, 0
        self._revision = max(self._revision, revision)
        return read


def unreadable(error: object) -> InternalError:
    """Return the error for an answer that no daemon of ours gives."""
    return InternalError(f"unreadable answer: {error}")
