"""discoveryctl run: a program is registered while it lives, and only then."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from pathlib import Path

import pytest

import discovery
from discovery.cli.running import run as command
from discovery.cli.supervising import Supervision, evidence
from discovery.errors import ModelConflictError
from tests.cli.ctl import CTL
from tests.cli.supervised import EVERYTHING, PLACE, added, registry, removed, run, said, said_of
from tests.support.processes import PATIENCE_S, daemon, free_ports, program

# ---- the end of a program


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, ("unregistered", None)), (3, ("crashed", "exit status 3"))],
)
async def test_a_program_is_registered_while_it_lives_and_its_exit_status_passed_on(status, words):
    async with registry() as place, program(*run(place.url)) as running:
        await running.hear()
        assert (await added(place)).transport == {"tcp": "10.0.0.7:9000/x"}
        running.tell("exit", status)
        assert await removed(place) == words
        assert await running.ended() == status


async def test_a_killed_program_is_removed_at_once_with_the_signal_as_evidence():
    async with registry() as place, program(*run(place.url, "--ttl 600")) as running:
        pid = (await running.hear())["pid"]
        await added(place)
        os.kill(pid, signal.SIGKILL)
        assert await removed(place) == ("crashed", "killed by signal 9 (SIGKILL)")
        assert await running.ended() == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "exit status 3"),
        (-signal.SIGSEGV, "killed by signal 11 (SIGSEGV)"),
        (-40, "killed by signal 40"),
    ],
)
def test_the_evidence_names_status_or_signal(code, words):
    assert evidence(code) == words


async def test_endpoint_and_model_are_one_unit(tmp_path):
    card = tmp_path / "card.json"
    card.write_text('{"display_name": "m"}')
    async with registry() as place, program(*run(place.url, "--model", card)) as running:
        await running.hear()
        endpoint = await added(place)
        (model,) = await place.d.list(discovery.ModelQuery(namespace="prod"))
        assert (model.display_name, model.instance_id) == ("m", endpoint.instance_id)
        assert model.revision == endpoint.revision


# ---- readiness


async def test_a_program_is_registered_once_it_answers_that_it_is_ready():
    port = free_ports()
    options = ("--ready-url", f"http://127.0.0.1:{port}/health", "---", port)
    async with registry() as place, program(*run(place.url, *options)) as running:
        await running.hear()
        assert await running.hear() == {"asked": "/health"}
        assert await running.hear() == {"asked": "/health"}  # 503 was no yes
        assert not await place.d.list(EVERYTHING)
        running.tell("ready")
        await added(place)


async def test_a_program_that_ends_before_it_is_ready_is_never_registered():
    port = free_ports()
    options = ("--ready-url", f"http://127.0.0.1:{port}/", "---", port)
    async with registry() as place:
        before = (await place.d.status())["revision"]
        async with program(*run(place.url, *options)) as running:
            await running.hear()
            await running.hear()
            running.tell("exit", 7)
            assert await running.ended() == 7
        assert (await place.d.status())["revision"] == before


async def test_a_program_that_is_not_ready_in_time_is_stopped():
    url = f"http://127.0.0.1:{free_ports()}/"
    code, err = await said_of("zmq://127.0.0.1:1", "--ready-timeout 1 --ready-url", url)
    assert code == 3
    assert f"{url}: the program is not ready within 1.0 s; last: " in err


# ---- a registry that refuses, or is away


async def test_a_program_whose_model_is_refused_is_stopped(tmp_path):
    place = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}
    card = tmp_path / "card.json"
    card.write_text('{"display_name": "other"}')
    async with registry() as there:
        await there.d.register(discovery.ModelSpec(**place, card={"display_name": "incumbent"}))
        code, err = await said_of(there.url, "--model", str(card))
        assert code == 4
        assert "stopping the program: Cannot register model 'other'" in err
        assert "discoveryctl get models prod/vllm/generate" in err
        assert not await there.d.list(EVERYTHING)


async def test_a_program_runs_without_a_daemon_and_is_registered_when_one_comes():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    command = (*CTL, "--timeout", "0.5", *run(url)[len(CTL) :])
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await said(process, "pid")
        async with asyncio.timeout(PATIENCE_S):
            line = await process.stderr.readline()
        assert b"not registered yet, trying on while the program runs: cannot connect" in line
        async with daemon(port), discovery.connect(url) as d, d.watch(EVERYTHING) as stream:
            async with asyncio.timeout(PATIENCE_S):
                while not stream.instances:
                    await stream.changed()
            process.stdin.write(b"exit 5\n")
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 5
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_end_of_a_program_is_passed_on_when_no_daemon_is_there_to_be_told():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port) as registrar, discovery.connect(url) as d:
        async with program(*run(url)) as running, d.watch(EVERYTHING) as stream:
            await running.hear()
            async with asyncio.timeout(PATIENCE_S):
                while not stream.instances:
                    await stream.changed()
            registrar.send_signal(signal.SIGKILL)
            await registrar.ended()
            running.tell("exit", 3)
            assert await running.ended() == 3


async def test_an_instance_id_of_a_run_that_was_killed_is_taken_again_when_its_lease_ends():
    options = ("--instance-id", "1a2b", "--ttl", "1")
    async with registry() as place:
        async with program(*run(place.url, *options)) as first:
            assert (await added(place)).instance_id == 0x1A2B
            first.send_signal(signal.SIGKILL)
        async with program(*run(place.url, *options)):
            assert (await removed(place))[0] == "lease_expired"
            assert (await added(place)).instance_id == 0x1A2B


# ---- wrong usage


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--endpoint", "prod/vllm", "--tcp", "x", "--", "true"), "prod/vllm"),
        (("--endpoint", "a/b/c", "--", "true"), "Expected one of --tcp, --http and --nats"),
        (("--endpoint", "a/b/c", "--tcp", "x", "--http", "y", "--", "true"), "Expected one of"),
        (("--endpoint", "a/../c", "--tcp", "x", "--", "true"), "component"),
        (("--endpoint", "a/b/c", "--tcp", "x"), "CMD"),
        (("--endpoint", "a/b/c", "--tcp", "x", "--modle", "f", "--", "true"), "--modle"),
        (("--endpoint", "a/b/c", "--tcp", "x", "--model", "/no/such", "--", "true"), "/no/such"),
        (("--endpoint", "a/b/c", "--tcp", "x", "--ready-url", "file:///x", "--", "true"), "ready"),
        (("--endpoint=a/b/c", "--tcp=x", "--ready-url", "http://h/\u00e9", "--", "true"), "ASCII"),
        (("--endpoint=a/b/c", "--tcp=x", "--ready-url", "http://a..b/", "--", "true"), "idna"),
        (("--endpoint", "a/b/c", "--tcp", "x", "--instance-id", "g", "--", "true"), "instance_id"),
        (("--url", "pigeon://x", "--endpoint", "a/b/c", "--tcp", "x", "--", "true"), "pigeon"),
    ],
)
async def test_wrong_usage_starts_nothing(words, complaint):
    process = await asyncio.create_subprocess_exec(
        *CTL, "run", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()
    assert process.returncode == 2
    assert complaint in err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize(("name", "code"), [("no-such-program", 127), ("/", 126)])
async def test_a_program_that_cannot_be_run_is_told_by_the_exit_code_of_shells(name, code):
    process = await asyncio.create_subprocess_exec(
        *CTL, "run", *PLACE, "--", name, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()
    assert process.returncode == code
    assert f"cannot run {name!r}" in err.decode()


# ---- without processes


class StubbornChild:
    """A program that ends only of SIGKILL."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, int]] = []
        self._ended = asyncio.Event()

    def send(self, number: int) -> None:
        self.heard.append((asyncio.get_running_loop().time(), number))
        if number == signal.SIGKILL:
            self._ended.set()

    async def ended(self) -> int:
        await self._ended.wait()
        return -signal.SIGKILL


class RefusedRegistration:
    async def hold(self) -> None:
        raise ModelConflictError(requested="b", endpoint="n/c/e", incumbent="a")


class NoSignals:
    def listen(self, _on_signal) -> None:
        pass


@pytest.mark.looptime
async def test_a_refused_program_that_does_not_heed_sigterm_is_killed_after_a_grace():
    child, lines = StubbornChild(), []
    supervision = Supervision(
        child, RefusedRegistration(), readiness=None, drain_s=0, say=lines.append
    )
    assert await supervision.until_end(NoSignals()) == 128 + signal.SIGKILL
    assert child.heard == [(0, signal.SIGTERM), (10, signal.SIGKILL)]
    assert "different model 'a'" in lines[0]


def commands_in(document: str) -> list[list[str]]:
    """The words of each `discoveryctl run` of a document, without the first two."""
    text = (Path(__file__).parents[2] / document).read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("discoveryctl run ")]


@pytest.mark.parametrize("words", commands_in("docs/run.md"), ids=lambda words: words[1])
def test_the_documented_commands_are_understood(words):
    parsed = command.make_context("run", list(words)).params
    assert list(parsed["command"]) == words[words.index("--") + 1 :]
    assert parsed["ready_url"].startswith("http://127.0.0.1:")


async def test_the_documented_try_works():
    words = " ".join(commands_in("docs/run.md")[0]).replace("8000", str(free_ports()))
    async with registry() as place:
        async with program(*CTL, "run", "--url", place.url, *words.split()) as running:
            identity = (await added(place)).id
            assert str(identity).startswith("endpoints/prod/files/get/")
            running.send_signal(signal.SIGTERM)
            assert await removed(place) == ("unregistered", None)
            assert await running.ended() == 128 + signal.SIGTERM
