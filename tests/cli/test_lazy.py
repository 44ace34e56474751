"""Commands are imported when they are used, and help needs none."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from discovery.cli.app import COMMANDS, cli, main

# What `import discovery` itself imports is not the command line's doing.
HELP = """
import sys, types
from importlib.util import find_spec
package = types.ModuleType("discovery")
package.__path__ = list(find_spec("discovery").submodule_search_locations)
sys.modules["discovery"] = package
from discovery.cli import main
code = main(["--help"])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


def test_help_imports_neither_the_client_nor_any_command():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())
    assert "discovery.cli.app" in imported
    heavy = {"zmq", "orjson", "msgpack", "asyncio", "discovery.client", "importlib.metadata"}
    assert imported.isdisjoint(heavy)
    assert imported.isdisjoint(entry.place.partition(":")[0] for entry in COMMANDS.values())
    for name, entry in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert entry.about in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_told_of_as_in_its_own_help(name):
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
        assert command is cli.get_command(context, name)
        assert command.help
        told = {word for param in command.params for word in param.opts}
        assert {"--url", "--output", "--timeout", "--tenant"} <= told
        assert len([word for param in command.params for word in param.opts]) == len(told)


def test_the_version_is_told_without_a_daemon(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"discoveryctl {version('discoveryd')}\n"
    assert main(["version", "--client", "-o", "name"]) == 0
    assert capsys.readouterr().out == f"{version('discoveryd')}\n"


@pytest.mark.parametrize("words", [["-h"], ["get", "--help"], ["register", "model", "-h"]])
def test_help_is_data_and_no_error(words, capsys):
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: discoveryctl")
    assert err == ""


def test_a_group_without_a_command_shows_its_help_as_an_error(capsys):
    assert main(["register"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: discoveryctl register")
