"""`discoveryd`: the registry with addresses, signals and an end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import signal
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from discovery import logs
from discovery.background import new_event_loop
from discovery.bookkeys import CLAIMS
from discovery.clock import now_ms
from discovery.config import add_flags, data_folder, load_daemon_settings, process_environment
from discovery.core import Core
from discovery.errors import DiscoveryError, InvalidArgumentError, SettingError
from discovery.names import Kind
from discovery.notify import sd_notify
from discovery.settings import DaemonSettings
from discovery.waits import waiting_places
from transports.address import parse_url
from transports.errors import TransportError, UnreachableError
from transports.nats.url import prefix_of, told, with_prefix
from transports.opening import open_publisher, open_rpc_client, open_rpc_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.eventplane.broker import Broker
    from transports.address import Address
    from transports.pubsub import Publisher
    from transports.rpc import RpcServer

logger = logging.getLogger(__name__)

_USAGE_ERROR = 2
_FIRST_ANSWERS_WITHIN_S = 0.5
# Records live long and are many: looking through all of them for cycles, as often as the
# defaults ask for it, took a fifth of the daemon's time (docs/decisions.md).
_GC_THRESHOLDS = (100_000, 50, 100)


class Daemon:
    """A core that listens. Entering binds the request addresses last: who connects finds all up."""

    def __init__(self, settings: DaemonSettings) -> None:
        self.settings = settings
        environ = process_environment()
        self.core = Core(
            settings,
            rng=random.SystemRandom(),
            now_ms=now_ms,
            environ=environ,
            data=data_folder(environ),
        )
        self.addresses: list[Address] = []
        """Where requests are taken, with the ports that were found for port 0."""
        self.http: str | None = None
        self._listeners: list[Publisher | RpcServer] = []
        self.is_ready = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for url in self.settings.listen:
            open_publisher(url)  # imports its client now: later that would hold up who relies on us
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.core)
            await self._serve_http(stack)
            events = self.settings.events
            for url in self.settings.listen:
                await self._listen(stack, url, events)
                events = None  # is said of the first listener only
            self.is_ready = True
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_ready = False
        self.core.say_goodbye()
        await self._stack.aclose()

    def metrics(self) -> Mapping[str, object]:
        """Return what `/metrics` shows."""
        core, service = self.core, self.core.service
        mirror = core.replica.mirror
        records = dict.fromkeys(map(str, Kind), 0)
        for scope, count in mirror.counts().items():
            if scope[0] != CLAIMS:  # each has two, and is counted by its status
                records[scope[0]] = records.get(scope[0], 0) + count
        return {
            "records": records,
            "claims": core.books.claim_counts(),
            "processes": sum(1 for _ in mirror.sessions()),
            "unreadable_records": len(mirror.unreadable),
            "watchers": len(service.watchers.now(asyncio.get_running_loop().time())),
            "revision": mirror.revision,
            "recovering": int(core.recovery.is_on(asyncio.get_running_loop().time())),
            "store_age_seconds": core.store.age_s(),
            "requests_total": service.answered,
            "refusals_total": service.refused,
            "published_messages_total": core.published,
            "rejected_messages_total": sum(one.rejected for one in self._listeners),
            "pauses_total": core.pauses,
            "relists_total": core.replica.relists,
            "divergences_total": core.replica.divergences,
        }

    async def _listen(self, stack: AsyncExitStack, url: str, events: str | None) -> None:
        """Take requests at `url` and publish at `events`, which is the next port when not said.

        On NATS it publishes through the same server, under subjects of its own.
        """
        (address,) = parse_url(url)
        if address.scheme == "nats":
            if self.core.store.registry_id is None:
                await _refuse_second(address)
            place = with_prefix(address, f"{prefix_of(address)}.events.{self.core.daemon}")
        else:
            place = address.with_port(address.port + 1 if address.port else 0)
        publisher = open_publisher(events or str(place))
        await stack.enter_async_context(publisher)
        self.core.publish_on(publisher)
        is_nats = publisher.address.scheme == "nats"
        known = told(publisher.address) if is_nats else publisher.address
        handler = self.core.handler(str(known))
        server = await stack.enter_async_context(open_rpc_server(url, handler))
        self.core.listen_by(server)
        self._listeners += [publisher, server]
        self.addresses.append(server.address)
        logger.info(
            "listening",
            extra={"requests": str(server.address), "events": str(known)},
        )

    async def _serve_http(self, stack: AsyncExitStack) -> None:
        place = self.settings.http
        if place is None:
            return
        try:
            from discovery.gateway.http import (  # noqa: PLC0415 - an extra
                HttpApp,
                listening_socket,
                serve,
            )
            from discovery.gateway.metrics import daemon_metrics  # noqa: PLC0415
        except ImportError as error:
            needs = "install it with `pip install discoveryd[http]`, or say --http off"
            if place != DaemonSettings().http:
                raise SettingError(f"http {place!r}: needs the extra `http`; {needs}") from error
            logger.warning("no health and metrics without the extra `http`", extra={"do": needs})
            return
        sock = listening_socket(place)
        app = HttpApp(ready=self._readiness, metrics=daemon_metrics(self.metrics))
        await stack.enter_async_context(serve(app, sock))
        self.http = "{}:{}".format(*sock.getsockname()[:2])
        logger.info("serving http", extra={"address": f"http://{self.http}"})

    def _readiness(self) -> tuple[bool, Mapping[str, object]]:
        return self.is_ready, {
            "store": self.settings.store,
            "revision": self.core.replica.mirror.revision,
            "store_age_s": self.core.store.age_s(),
        }


def _program(settings: DaemonSettings) -> Daemon | Broker:
    """Return what the role says, to be entered."""
    if settings.role == "registry":
        return Daemon(settings)
    from discovery.eventplane.broker import Broker  # noqa: PLC0415 - chosen by role

    return Broker(settings.broker)


async def _refuse_second(address: Address) -> None:
    """Raise `UnreachableError` if a daemon is reached there already, for one in memory.

    Those that share an address share the clients; each in memory is a registry of its own.
    """
    async with open_rpc_client(address, lambda *_: None) as client:
        try:
            async with asyncio.timeout(_FIRST_ANSWERS_WITHIN_S):
                await client.ready()
        except TimeoutError:
            return
    raise UnreachableError(
        f"cannot listen on {address}: a daemon answers there, and one in memory shares its "
        "registry with nobody; give it a prefix of its own, or both the same etcd"
    )


async def run(settings: DaemonSettings, reload: Callable[[], DaemonSettings]) -> None:
    """Serve until SIGTERM or SIGINT. SIGHUP takes over what of `reload()` can change now."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def stopping() -> None:
        if stop.is_set():
            _give_up(loop, "told twice to stop")
        sd_notify("STOPPING=1", os.environ)
        logger.info("stopping")
        loop.call_later(settings.shutdown_s, _give_up, loop, "stopping took too long")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping)
    loop.add_signal_handler(signal.SIGHUP, _reload, settings, reload)
    async with _program(settings) as program:
        sd_notify("READY=1", os.environ)
        where = settings.broker.registry if settings.role == "broker" else settings.store
        told = {"url": ",".join(map(str, program.addresses)), "store": where}
        logger.info("serving", extra=told)
        await stop.wait()
    logger.info("stopped")


def _reload(settings: DaemonSettings, reload: Callable[[], DaemonSettings]) -> None:
    """Logging changes at once; of other settings it is said that they wait for the next start."""
    try:
        new = reload()
    except SettingError as error:
        logger.error("settings not reloaded", extra={"why": str(error)})  # noqa: TRY400
        return
    logs.configure(new.log, sys.stderr)
    waiting = [
        name
        for name in DaemonSettings.__dataclass_fields__
        if name != "log" and getattr(new, name) != getattr(settings, name)
    ]
    logger.info("settings reloaded", extra={"changed_at_next_start": waiting})


def _give_up(loop: asyncio.AbstractEventLoop, why: str) -> None:
    extra = {"why": why, "waiting": waiting_places(loop)}
    logger.error("ended by force", extra=extra)
    sys.stderr.flush()
    os._exit(1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; return 0 after a stop, 1 when it cannot serve, 2 for wrong settings."""
    parser = argparse.ArgumentParser(
        prog="discoveryd",
        description="Service discovery for LLM-serving fleets: the registry.",
        epilog="Each setting is also DISCOVERY_<NAME> in the environment and a line of the file.",
    )
    about = f"discoveryd {version('discoveryd')}"
    parser.add_argument("--version", action="version", version=about)
    parser.add_argument("--config", metavar="FILE", help="TOML file, see config/discoveryd.toml")
    add_flags(parser)
    flags = vars(parser.parse_args(argv))
    config = flags.pop("config")
    file = None if config is None else Path(config)

    def load() -> DaemonSettings:
        return load_daemon_settings(flags, os.environ, file)

    try:
        settings = load()
        logs.configure(settings.log, sys.stderr)
        gc.set_threshold(*_GC_THRESHOLDS)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run(settings, load))
    except InvalidArgumentError as error:
        print(f"discoveryd: {error}", file=sys.stderr)  # noqa: T201 - before or without a log
        return _USAGE_ERROR
    except (DiscoveryError, TransportError) as error:
        is_taken = isinstance(error, TransportError) and error.retryable
        hint = "; does another discoveryd run there?" if is_taken else ""
        print(f"discoveryd: cannot serve: {error}{hint}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
