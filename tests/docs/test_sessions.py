"""The console examples of each page print what they say; docs/cli.md has a test of its own."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from tests.docs.sessions import session
from tests.support.documents import PAGES, REQUESTS, ROOT, named, own_ports, sessions
from tests.support.processes import daemon

STORIES = [page for page in PAGES if sessions(page) and page != ROOT / "docs" / "cli.md"]


@pytest.mark.parametrize("page", STORIES, ids=named)
async def test_every_example_prints_what_is_printed_there(page):
    ports = own_ports()
    story = sessions(page)
    async with AsyncExitStack() as stack:
        if story[0][0] != "discoveryd":  # a page that starts one is about that
            await stack.enter_async_context(daemon(ports[REQUESTS]))
        typing = await stack.enter_async_context(session(ports))
        for command, printed in story:
            await typing.type(command, printed)
