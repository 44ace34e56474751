"""What the pages name is there: files, headings, methods, commands, settings, metrics, messages."""

from __future__ import annotations

import ast
import asyncio
import re
from contextlib import closing
from http.client import HTTPConnection

import pytest

import discovery
from discovery.cli.app import COMMANDS
from discovery.gateway.metrics import HELP
from discovery.setting import settings_in
from discovery.settings import DaemonSettings
from tests.support.documents import HTTP, PAGES, REQUESTS, ROOT, as_pattern, named, own_ports
from tests.support.processes import PATIENCE_S, daemon

GUIDES = [page for page in PAGES if page.parent.name != "reference"]
OPERATOR = (ROOT / "docs" / "operator.md").read_text()
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text()
SETTINGS = {setting.name for setting in settings_in(DaemonSettings)}
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "h": 3600}


def without_blocks(page) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page) -> set[str]:
    """What headings are linked by. Source: GitHub's pages, "Section links"."""
    heads = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", without_blocks(page)):
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_readme_leads_to_every_page():
    linked = set(re.findall(r"docs/[\w/-]+\.md", (ROOT / "README.md").read_text()))
    assert linked == {named(page) for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_names_in_texts_are_those_of_the_code(page):
    text = without_blocks(page)
    owners = {"d": discovery.Discovery, "stream": discovery.WatchStream, "discovery": discovery}
    for owner, name in re.findall(r"`(d|stream|discovery)\.(\w+)", text):
        assert hasattr(owners[owner], name), f"{owner}.{name}"
    for name in re.findall(r"`discoveryctl (?:-\S+ \S+ )*([a-z]+)\b(?! …,)", text):
        assert name in COMMANDS, f"discoveryctl {name}"
    for name in re.findall(r"`((?:lease|watch|limits|registry|log)\.[a-z_]+)", text):
        assert name in SETTINGS, name


def rows(title: str, page: str = OPERATOR) -> list[list[str]]:
    """The cells of the tables below a heading."""
    chapter = page.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in chapter.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_metric_is_explained():
    told = [cells[0] for cells in rows("Health and metrics")]
    start = told.index("metric (after `discoveryd_`)")
    assert told[start + 1 :] == [f"`{name}`" for name in HELP]


async def test_the_paths_answer_as_they_are_said_to():
    told = [cells[:2] for cells in rows("Health and metrics") if cells[0].startswith("`/")]
    assert len(told) == 3
    ports = own_ports()
    place = f"127.0.0.1:{ports[HTTP]}"
    async with daemon(ports[REQUESTS], "--http", place):
        for path, answer in told:
            body = await asyncio.to_thread(got, place, path.strip("`"))
            if answer == "Prometheus text":
                assert all(f"# HELP discoveryd_{name} " in body for name in HELP)
            else:
                assert re.fullmatch(as_pattern(answer.strip("`")), body.strip())


def got(place: str, path: str) -> str:
    with closing(HTTPConnection(place, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def numbers(text: str) -> set[float]:
    found = re.findall(r"(\d[\d,]*) ?(KiB|MiB|h)?", text)
    return {float(digits.replace(",", "")) * UNITS.get(unit, 1) for digits, unit in found}


def test_the_limits_are_the_defaults():
    defaults = DaemonSettings()
    told = {cells[2]: numbers(cells[1]) for cells in rows("Size and limits") if "`" in cells[2]}
    names = [name for cell in told for name in re.findall(r"`([\w.]+)`", cell)]
    assert len(names) == 6
    for cell, limits in told.items():
        for group, name in re.findall(r"`(\w+)\.(\w+)`", cell):
            assert getattr(getattr(defaults, group), name) in limits, name


def logged() -> set[str]:
    """What the code logs without being told to say more; `…` stands for what differs."""
    said = set()
    for file in (*(ROOT / "discovery").rglob("*.py"), *(ROOT / "transports").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name("logger"), attr="info" | "warning" | "error" | "exception"
                    ),
                    args=[ast.Constant(str(text)), *_],
                ):
                    said.add(re.sub("%[a-z]", "…", text))
    return said


def test_the_log_messages_are_those_of_the_code():
    said = logged()
    told = [cells[0] for cells in [*rows("Logs"), *rows("Log of clients", TROUBLES)]]
    told = [message for cell in told for message in re.findall(r"`([^`]+)`", cell)]
    for message in told:
        assert any(text.startswith(message) for text in said), f"nobody says: {message}"
    told += [cells[0].strip("`") for cells in rows("Messages of clients", TROUBLES)]
    for text in said:
        assert any(text.startswith(message) for message in told), f"not explained: {text}"
