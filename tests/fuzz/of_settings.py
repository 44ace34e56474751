"""Targets: the settings file, the environment, flags, and what is typed at `discoveryctl`."""

from __future__ import annotations

import argparse
import io
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from discovery.arguments import check_seconds, checked_id, checked_query, codec_of
from discovery.cli.app import cli, main
from discovery.cli.context import Context
from discovery.cli.exits import Exit
from discovery.cli.kinds import kind_of, query_of
from discovery.cli.readiness import check_ready_url
from discovery.cli.typed import card_of, identity_of, instance_id_of, place_of
from discovery.config import (
    add_flags,
    event_codec_from_env,
    event_host_from_env,
    event_nats_from_env,
    event_transport_from_env,
    load_daemon_settings,
)
from discovery.errors import InvalidArgumentError, SettingError
from discovery.setting import Setting
from tests.fuzz.contract import SEPARATOR, Target, attempt, text_of, texts_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGS = [file.read_bytes() for file in Path(__file__).parents[2].glob("config/*.toml")]
CARD = b'{"display_name":"m"}'


class _File:
    """In the place of a file: what it says is the input."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __str__(self) -> str:
        return "x.toml"

    def read_text(self, encoding: str) -> str:
        return self.data.decode(encoding)


def settings_files(data: bytes) -> None:
    attempt(lambda: load_daemon_settings({}, {}, _File(data)), SettingError)


def environments(data: bytes) -> None:
    pairs = (line.partition("=") for line in text_of(data).replace("\0", "").split("\n"))
    environ = {name: value for name, _, value in pairs if name != "DISCOVERY_CONFIG"}
    attempt(lambda: load_daemon_settings({}, environ, None), SettingError)
    attempt(lambda: event_transport_from_env(environ), SettingError)
    attempt(lambda: event_codec_from_env(environ), SettingError)
    event_host_from_env(environ)
    event_nats_from_env(environ)


def daemon_flags(data: bytes) -> None:
    parser = argparse.ArgumentParser(prog="discoveryd")
    add_flags(parser)
    words = text_of(data).replace("\0", "").split("\n")
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()), suppress(SystemExit):
        flags = vars(parser.parse_args(words))
        attempt(lambda: load_daemon_settings(flags, {}, None), SettingError)


class _Reached(BaseException):
    """A command has taken its arguments, and would begin."""


class _Idle(Context):
    """In the place of a context: nothing is connected to."""

    def run(self, coro: Any) -> NoReturn:
        coro.close()
        raise _Reached


@contextmanager
def _idle() -> Iterator[io.StringIO]:
    """Let `main` run commands up to where they would begin; gives what is said on stderr."""
    told, stdin = io.StringIO(), sys.stdin
    cli.context_settings["obj"] = _Idle()
    sys.stdin = io.TextIOWrapper(io.BytesIO(CARD))
    try:
        with redirect_stderr(told), redirect_stdout(io.StringIO()):
            yield told
    finally:
        sys.stdin = stdin
        del cli.context_settings["obj"]


def command_lines(data: bytes) -> None:
    """Every command up to where it would ask a daemon."""
    words = text_of(data).replace("\0", "").split("\n")
    if "completion" in words:  # starts a shell to see its version
        return
    with _idle() as told, suppress(_Reached):
        assert main(words) in set(Exit)
    lines = told.getvalue().splitlines()
    assert all(line.isprintable() for line in lines), lines


def typed_words(data: bytes) -> None:
    text = text_of(data)
    wrong = (InvalidArgumentError, click.UsageError)
    for read in (place_of, instance_id_of, identity_of, check_ready_url):
        _typed(lambda read=read: read(text), *wrong)
    word, scope, *_ = [*texts_of(data), ""]
    for kind in ("endpoints", "models", "channels"):
        query = _typed(lambda kind=kind: query_of(kind, scope), *wrong)
        assert query is None or checked_query(query) is query
    _typed(lambda: kind_of(word, ("endpoints", "models")), *wrong)
    attempt(lambda: codec_of(text, "zmq://h:1"), InvalidArgumentError)


def _typed(read: Any, *wrong: type[Exception]) -> Any:
    """Read what a person typed; the refusal may repeat it, and is made printable where told."""
    try:
        return read()
    except wrong:
        return None


def arguments(data: bytes) -> None:
    value = value_of(data)
    attempt(lambda: check_seconds("ttl_s", value, 0.1, 10), InvalidArgumentError)
    attempt(lambda: checked_query(value), InvalidArgumentError)
    attempt(lambda: checked_id(value), InvalidArgumentError)
    stdin = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    try:
        card = attempt(lambda: card_of("-"), InvalidArgumentError)
    finally:
        sys.stdin = stdin
    assert card is None or isinstance(card, dict)


LINES = [
    "get models/prod/vllm",
    "-o json --timeout 3 get ep n/c/e",
    "describe endpoints/n/c/e/7",
    "watch ch/n",
    "wait models/n/c/e/7 --for count=3 --timeout 5",
    "register endpoint n/c/e --tcp h:1/x --device cuda --model - --ttl 5 --instance-id 1f",
    "register model n/c/e --card - --suffix lora",
    "register channel n/c/t --zmq tcp://h:1",
    "register channel n/t --xsub tcp://h:1 --xpub tcp://h:2",
    "run --endpoint n/c/e --http http://h:1 --ready-url http://h/x --drain-s 1 -- sleep 1",
    "events publish n/t x --transport zmq --subscribers 1",
    "events tail n/t --count 1",
    "rm models/n/c/e/7",
    "drain 7",
    "status --help",
    "doctor",
    "demo",
    "version",
]
TARGETS = (
    Target(
        run=settings_files,
        covers=(load_daemon_settings, Setting.read),
        seeds=[*CONFIGS, b'store = "memory://"\nlisten = ["zmq://[::1]:1"]\n[lease]\nmax_ttl_s=9'],
        weight=2,
    ),
    Target(
        run=environments,
        covers=(
            *(load_daemon_settings, Setting.read, event_transport_from_env, event_codec_from_env),
            *(event_host_from_env, event_nats_from_env),
        ),
        seeds=[
            b"DISCOVERY_STORE=etcd://h:1\nDISCOVERY_LISTEN=zmq://127.0.0.1:1 zmq://[::1]:1",
            b"DISCOVERY_LEASE_MAX_TTL_S=9\nDISCOVERY_EVENT_PLANE=nats\nDISCOVERY_PORT=tcp://h:1",
            b"DISCOVERY_EVENT_PLANE_CODEC=json\nDISCOVERY_HTTP=off\nDISCOVERY_ROLE=broker",
        ],
    ),
    Target(
        run=daemon_flags,
        covers=(load_daemon_settings, Setting.read),
        seeds=[
            b"--store\nmemory://\n--listen\nzmq://127.0.0.1:1\n--listen\nzmq://[::1]:2",
            b"--insecure\n--role\nbroker\n--broker-namespace\nn\n--log-level=debug",
        ],
    ),
    Target(
        run=command_lines,
        covers=(place_of, instance_id_of, identity_of, kind_of, query_of, check_ready_url),
        seeds=[line.replace(" ", "\n").encode() for line in LINES],
    ),
    Target(
        run=typed_words,
        covers=(
            place_of,
            instance_id_of,
            identity_of,
            check_ready_url,
            query_of,
            kind_of,
            codec_of,
        ),
        seeds=[b"n/c/e", b"models/n/c/e/7", b"http://h:1/ready", SEPARATOR.join([b"mo", b"n/c"])],
    ),
    Target(
        run=arguments,
        covers=(check_seconds, checked_query, checked_id, card_of),
        seeds=[CARD, b"5.5"],
    ),
)
