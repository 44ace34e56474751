"""What carries bytes between a client and daemons: in order, in a millisecond, unless it is cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from discovery.errors import DiscoveryError, error_from_wire
from discovery.link import Answer, NoAnswerError, _to_wire
from tests.simulation.loop import Process
from transports.codec import MSGPACK
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.scenarios.daemons import Daemon
    from tests.scenarios.stage import Stage

Result: TypeAlias = Answer | DiscoveryError


class Line:
    """One client's way to all daemons and back.

    Args:
        stage: where.
        client: who has it.
    """

    def __init__(self, stage: Stage, client: Process) -> None:
        self.cut_off: set[str] = set()
        """Names of the daemons that cannot be reached, nor reach the client."""
        self.sent: dict[str, bytes] = {}
        """The last request of each kind."""
        self._stage, self._client = stage, client

    def carry(self, daemon: str, deliver: Callable[[], None], to: Process) -> None:
        """Bring something from or to a daemon."""
        if daemon not in self.cut_off:
            self._stage.deliver(deliver, to)

    def ask(
        self,
        daemon: Daemon,
        fields: Mapping[str, object],
        within_s: float,
        answered: Callable[[Result], None],
    ) -> None:
        """Send a request; `answered` is called once, within the client, also if no answer comes."""
        op = str(fields["op"])
        self.sent[op] = pack(MSGPACK, _to_wire(fields))
        silence = NoAnswerError(f"{daemon.name} does not answer")
        is_done = False

        def end(result: Result) -> None:
            nonlocal is_done
            if not is_done:
                is_done = True
                timer.cancel()
                answered(result)

        timer = asyncio.get_running_loop().call_later(within_s, end, silence)
        self.send(daemon, self.sent[op], end)

    def send(self, daemon: Daemon, data: bytes, end: Callable[[Result], None]) -> None:
        """Send bytes to whatever lives at a daemon's address."""
        parts: list[Any] = []
        life = daemon.process

        def got(payload: bytes) -> None:
            parts.append(unpack(payload)[1])
            result = _whole(parts)
            if result:
                end(result)

        def arrive() -> None:
            if daemon.process is life:
                daemon.handle(data, lambda p: self.carry(daemon.name, lambda: got(p), self._client))

        self.carry(daemon.name, arrive, life)


class Thief:
    """Whoever else sends something to a daemon."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.name = name
        self._stage = stage
        self._process = Process(name)

    def send(self, daemon: Daemon, data: bytes) -> None:
        """Send bytes, and say what the daemon makes of them."""

        def answered(result: Result) -> None:
            accepted = f"{daemon.name} accepts it"
            refused = f"{daemon.name} refuses it: {result}"
            what = accepted if isinstance(result, Answer) else refused
            self._stage.say(self.name, what)

        self._process.run(Line(self._stage, self._process).send, daemon, data, answered)

    def pretend(self, daemon: Daemon, like: bytes) -> None:
        """Send what somebody else sent, with a token that is a guess and a higher number."""
        fields: Any = unpack(like)[1]
        changed = {"token": "a guess"}
        if "sequence" in fields:
            changed["sequence"] = fields["sequence"] + 1
        self.send(daemon, pack(MSGPACK, {**fields, **changed}))


def _whole(parts: list[Any]) -> Result | None:
    """Return the answer if all of its parts are here."""
    last = next((part for part in parts if "chunk" not in part), None)
    if last is None:
        return None
    if "error" in last:
        return error_from_wire(last["error"])
    chunks = [part for part in parts if "chunk" in part]
    return Answer(last["ok"], chunks) if len(chunks) == last["ok"].get("chunks", 0) else None
