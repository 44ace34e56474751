"""docs/troubleshooting.md: its messages are the ones that are said, and all of them are there."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
from typing import TYPE_CHECKING

import pytest

from discovery import errors
from tests.docs import provocations
from tests.support.documents import ROOT, own_environ
from tests.support.processes import DISCOVERYD, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
DOCTOR = [
    ROOT / "discovery" / "cli" / f"{name}.py"
    for name in ("checks", "doctor", "mismatches", "probing", "reach")
]


def chapter(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def messages(title: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", chapter(title), re.MULTILINE)


def matches(message: str, said: str) -> bool:
    return re.fullmatch(re.escape(message).replace("…", ".*"), said, re.DOTALL) is not None


def check_each_explains_the_other(explained: Iterable[str], said: Iterable[str]) -> None:
    explained, said = list(explained), list(said)
    for text in said:
        assert any(matches(message, text) for message in explained), f"not explained: {text}"
    for message in explained:
        assert any(matches(message, text) for text in said), f"nobody says: {message}"


def is_for_users(record: logging.LogRecord) -> bool:
    """What a client says without being told to say more; an embedded daemon has its own."""
    clients = {"discovery.connection", "discovery.keeper"}
    return record.name in clients and record.levelno >= logging.WARNING


async def test_the_messages_of_clients_are_those_that_are_said(caplog):
    said = [text for provoke in provocations.ALL for text in await provoke()]
    logged = [record.getMessage() for record in caplog.records if is_for_users(record)]
    check_each_explains_the_other(messages("Messages of clients"), said + logged)


async def test_the_messages_of_the_daemon_are_those_that_are_said(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("store = ")
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        taken = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        said = [
            await refusal("--lease-recovery-s", "1d"),
            await refusal("--listen", "zmq://0.0.0.0:4710"),
            await refusal("--store", "kubernetes://ns"),
            await refusal("--store", f"etcd://127.0.0.1:{free_ports()}", code=1),
            await refusal("--config", str(broken)),
            await refusal(env={"DISCOVERY_LEASE_TTL": "3"}),
            await refusal("--listen", f"zmq://{taken}", "--http", "off", code=1),
            await refusal("--listen", "zmq://127.0.0.1:0", "--http", taken, code=1),
            await refusal("--listen", f"nats://127.0.0.1:{free_ports()}", "--http", "off", code=1),
        ]
    check_each_explains_the_other(messages("Messages of `discoveryd`"), said)


async def refusal(*flags: str, env: dict[str, str] | None = None, code: int = 2) -> str:
    """The last line of a daemon that does not start, without its name."""
    process = await asyncio.create_subprocess_exec(
        *DISCOVERYD,
        *flags,
        env=own_environ() | (env or {}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == code, err
    return err.decode().splitlines()[-1].removeprefix("discoveryd: ")


def texts(tree: ast.AST) -> set[str]:
    """All texts in some code; what is put into them as "…"."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                found.add(text)
            case ast.JoinedStr(values=values):
                found.add(
                    "".join(
                        str(getattr(one, "value", "")) if isinstance(one, ast.Constant) else "…"
                        for one in values
                    )
                )
    return found


def test_every_finding_of_the_doctor_is_explained_and_none_is_made_up():
    trees = [ast.parse(file.read_text()) for file in DOCTOR]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    checks = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in {"ok", "warn", "fail"}
        if isinstance(call.args[0], ast.Constant)
    }
    rows = re.findall(
        r"^\| `(\w+)` \| (?:`([^`]+)`)? ?\|", chapter("What the doctor finds"), re.MULTILINE
    )
    assert {check for check, _ in rows} == checks
    said = set().union(*map(texts, trees))
    for check, finding in rows:
        assert not finding or any(matches(finding, text) for text in said), (check, finding)


@pytest.mark.parametrize(
    "kind",
    [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)],
    ids=lambda one: one.__name__,
)
def test_every_error_says_who_gets_it(kind):
    assert f"`{kind.__name__}`" in chapter("Errors by class")
