"""Console examples as their readers type them: at terminals, in order, against one daemon."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.cli.terminal import Terminal
from tests.support.documents import EVENTS, HTTP, REQUESTS, ROOT, check_printed, moved

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

# What goes on until it is interrupted; a daemon that says more than it is shown to is one of them.
HELD = re.compile(
    r"discoveryd$|discoveryctl (register (endpoint|channel)|watch|events tail) |"
    r"discoveryctl catalog watch$|discoveryctl claims try .* --ttl |"
    r"python examples/"
)
LATER = {" catalog watch": 1, " watch ": 2, " tail ": 1}
"""What a watch shows at once, in lines; the rest is done by commands that are typed later."""


def shown_at_once(command: str) -> int | None:
    """How many lines a command that stays shows before others are typed; None for all."""
    return next((lines for word, lines in LATER.items() if word in command), None)


class Session:
    """What is typed one after the other; what stays is looked at once more at the end.

    The default ports stand for `ports`: a daemon is told by its settings, a client by its URL.
    """

    def __init__(self, ports: Mapping[int, int], stack: AsyncExitStack) -> None:
        self._ports, self._stack = ports, stack
        self._root = stack.enter_context(TemporaryDirectory(prefix="discovery-docs-"))
        self._code: int | None = None
        self._held: list[tuple[Terminal, str, Sequence[str]]] = []

    async def type(self, command: str, printed: Sequence[str]) -> None:
        """Run a command and compare what it prints; what stays has only to begin as it should."""
        if command == "echo $?":
            assert list(printed) == [str(self._code)], command
            return
        own = moved(command, self._ports)
        expected = [moved(line, self._ports) for line in printed]
        terminal = await self._run(own)
        if HELD.match(command):
            await terminal.seen(len(expected[: shown_at_once(command)]))
            self._held.append((terminal, own, expected))
        else:
            check_printed(own, (await terminal.seen()).splitlines(), expected)
            self._code = await terminal.ended()

    async def look_again(self) -> None:
        """Compare what is to be seen of what stayed."""
        for terminal, command, expected in self._held:
            seen = await terminal.seen(len(expected))
            check_printed(command, seen.splitlines()[: len(expected)], expected)

    async def _run(self, command: str) -> Terminal:
        name, *words = shlex.split(command)
        local = {number: f"127.0.0.1:{port}" for number, port in self._ports.items()}
        env = {
            "NO_COLOR": "1",
            "COLUMNS": "120",
            "DISCOVERY_URL": f"zmq://{local[REQUESTS]}",
            "DISCOVERY_LISTEN": f"zmq://{local[REQUESTS]}",
            "DISCOVERY_EVENTS": f"zmq://{local[EVENTS]}",
            "DISCOVERY_HTTP": local[HTTP],
            "DISCOVERY_ARTIFACTS_ROOT": self._root,
        }
        program = str(Path(sys.executable).with_name(name))
        terminal = await Terminal.run(program, *words, cwd=ROOT, env=env)
        self._stack.push_async_callback(terminal.end)
        return terminal


@asynccontextmanager
async def session(ports: Mapping[int, int]) -> AsyncGenerator[Session]:
    """A session; all that is still running at its end is interrupted."""
    async with AsyncExitStack() as stack:
        typing = Session(ports, stack)
        yield typing
        await typing.look_again()
