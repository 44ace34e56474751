"""The project around the code: packaging, locked versions, make, checks that hold for all tests."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from discovery.config import load_daemon_settings

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCKS = {name: (ROOT / f"requirements/{name}.txt").read_text() for name in ("run", "dev", "fuzz")}

MISBEHAVING = """
import asyncio, socket, threading, warnings
from pathlib import Path
import tests.conftest
from discovery.config import load_daemon_settings

tests.conftest.GRACE_S = 0.05
KEPT = []

async def test_well_behaved():
    assert asyncio.get_running_loop().get_debug()
    await asyncio.to_thread(load_daemon_settings, {}, {}, Path("config/discoveryd.toml"))

async def test_leaked_task():
    KEPT.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))

def test_leaked_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def test_leaked_socket():
    KEPT.append(socket.socket())

async def test_blocked_loop():
    load_daemon_settings({}, {}, Path("config/discoveryd.toml"))

def test_warning():
    warnings.warn("old", DeprecationWarning)

async def test_never_awaited():
    asyncio.sleep(0)

def test_forgotten_file(tmp_path):
    (tmp_path / "x").open("w")
"""


def make(*arguments):
    # As typed in a shell: `make test` hands its own flags and variables to a make inside it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={name: value for name, value in environ.items() if name not in {"ARGS", "MFLAGS"}},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def requirement_names(requirements):
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def locked(lock):
    return dict(re.findall(r"^([\w.-]+)==(\S+) \\$", lock, re.MULTILINE))


def sans_io_modules():
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter")
    return linter["importlinter:contract:sans-io"]["source_modules"].split()


def test_what_blocks_the_loop_is_left_behind_or_warns_fails_its_test(tmp_path):
    (tmp_path / "test_it.py").write_text(MISBEHAVING)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-rA", "-p", "tests.conftest"),
            *("-p", "no:cacheprovider", "-c", "pyproject.toml", str(tmp_path / "test_it.py")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    outcomes = dict(
        reversed(match)
        for match in re.findall(r"^(PASSED|FAILED|ERROR) \S*::(\w+)", done.stdout, re.MULTILINE)
    )
    # What is left behind is found after the test's own outcome was written down as passed.
    not_well = {name for name, outcome in outcomes.items() if outcome != "PASSED"}
    assert not_well == {
        "test_leaked_task",
        "test_leaked_thread",
        "test_leaked_socket",
        "test_blocked_loop",
        "test_warning",
        "test_never_awaited",
        "test_forgotten_file",
    }, done.stdout
    assert outcomes["test_well_behaved"] == "PASSED"


def test_the_package_says_its_license_in_spdx_and_ships_the_text():
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_both_packages_ship_their_types():
    for package in ("discovery", "transports"):
        assert (ROOT / package / "py.typed").is_file()
        assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"][package]


def test_the_programs_are_installed_under_their_names():
    assert PROJECT["name"] == "discoveryd"
    assert PROJECT["scripts"] == {
        "discoveryd": "discovery.daemon:main",
        "discoveryctl": "discovery.cli:main",
    }


def test_what_a_backend_needs_is_an_extra_of_its_own_and_all_has_every_one():
    extras = PROJECT["optional-dependencies"]
    backends, ours = (
        {"http", "etcd", "nats", "models", "gcs", "s3", "fast"},
        {"peers", "fuzz", "test", "dev"},
    )
    assert extras.keys() == backends | ours | {"all"}
    assert extras["all"] == ["discoveryd[http,etcd,nats,models,gcs,s3,fast]"]
    assert requirement_names(PROJECT["dependencies"]) == {"click", "msgpack", "orjson", "pyzmq"}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("run", ("http", "fast", "models")),
        ("dev", ("http", "fast", "models", "gcs", "s3", "peers", "test", "dev")),
        ("fuzz", ("fuzz",)),
    ],
    ids=["run", "dev", "fuzz"],
)
def test_every_requirement_is_locked(lock, extras):
    wanted = requirement_names(PROJECT["dependencies"] + PYPROJECT["build-system"]["requires"])
    for extra in extras:
        wanted |= requirement_names(PROJECT["optional-dependencies"][extra])
    assert wanted <= locked(LOCKS[lock]).keys()


def test_what_runs_is_what_was_tested():
    assert locked(LOCKS["run"]).items() <= locked(LOCKS["dev"]).items()


def test_only_who_fuzzes_needs_the_fuzzer_beside_what_was_tested():
    more = locked(LOCKS["fuzz"]).items() - locked(LOCKS["dev"]).items()
    assert {name for name, _ in more} == {"atheris"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_versions_and_hashes_and_names_no_place(lock):
    wanted = re.compile(
        r"(#.*|[\w.-]+==[\w.+!-]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    # .*|)"
    )
    odd = [line for line in LOCKS[lock].splitlines() if not wanted.fullmatch(line)]
    assert odd == []
    assert not re.search(r"://|WARNING|--index|--find|/opt/", LOCKS[lock])


def test_every_target_of_make_is_in_its_help():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert set(targets.split()) >= {"run", "test", "lint", "bench", "help", "lock", "clean"}
    shown = re.findall(r"^  make (\w+)", make("help"), re.MULTILINE)
    assert sorted(shown) == sorted(targets.split())


def test_make_without_a_target_changes_nothing_and_shows_the_help():
    assert make() == make("help")


def test_the_coverage_gate_of_the_modules_without_io_has_them_all():
    (gated,) = re.findall(r"--include=(\S+)", make("-n", "test"))
    files = [module.replace(".", "/") + ".py" for module in sans_io_modules()]
    assert gated.split(",") == files
    assert len(files) > 10
    for file in files:
        assert (ROOT / file).is_file(), file


def test_continuous_integration_runs_nothing_that_a_developer_cannot_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = [line for line in script.read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "set -euo pipefail"
    assert lines[1].startswith("cd ")
    assert lines[2:] == ["make lint", "make test", 'make sim ARGS="--campaign 300"']


@pytest.mark.parametrize("file", sorted(ROOT.glob("config/*.toml")), ids=lambda file: file.name)
def test_every_configuration_file_is_one_the_daemon_starts_with(file):
    assert load_daemon_settings({}, {}, file).store == "memory://"


def test_the_service_manager_is_told_of_readiness():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "config" / "systemd" / "discoveryd.service")
    assert unit["Service"]["Type"] == "notify"
    assert int(unit["Service"]["TimeoutStopSec"]) > load_daemon_settings({}, {}, None).shutdown_s
