"""`discoveryctl completion`, and what a shell is offered."""

from __future__ import annotations

import os

import pytest

from tests.cli.ctl import CTL, at_terminal, ctl, fleet
from tests.support.processes import free_ports


async def offered(url: str, *words: str) -> list[str]:
    """What bash is offered for the last of the words."""
    env = {
        "_DISCOVERYCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("discoveryctl", *words)),
        "COMP_CWORD": str(len(words)),
    }
    code, out, err = await ctl(url, env=env)
    assert (code, err) == (0, "")
    return [line.partition(",")[2] for line in out.split()]


async def test_commands_kinds_scopes_and_ids_are_completed():
    async with fleet() as (url, _):
        assert await offered(url, "des") == ["describe"]
        assert await offered(url, "get", "m") == ["models"]
        assert await offered(url, "get", "endpoints", "pr") == ["prod"]
        assert await offered(url, "get", "ep", "prod/") == ["prod/vllm"]
        assert await offered(url, "watch", "ch") == ["channels/"]
        assert await offered(url, "watch", "channels/prod/vllm/") == [
            "channels/prod/vllm/kv-events"
        ]
        assert await offered(url, "rm", "models/prod/") == ["models/prod/vllm/generate/1a2b"]
        assert await offered("zmq://127.0.0.1:1", "--url", url, "get", "models", "p") == ["prod"]


async def test_models_of_the_catalog_and_of_claims_are_completed():
    async with fleet() as (url, d):
        await d.catalog.register("org/a", model_type="llm", backend="vllm", task="chat")
        await d.claims.set_status("org/b", "File", "DOWNLOADED")
        assert await offered(url, "cat") == ["catalog"]
        assert await offered(url, "claims", "wa") == ["wait"]
        assert await offered(url, "catalog", "get", "o") == ["org/a"]
        assert await offered(url, "artifacts", "pull", "o") == ["org/a"]
        assert await offered(url, "claims", "get", "o") == ["org/b"]
        assert await offered(url, "claims", "get", "x") == []
        assert await offered(url, "claims", "try", "x", "--provider", "Hug") == ["HuggingFace"]


async def test_without_a_daemon_nothing_is_offered_and_nothing_is_said():
    url = f"zmq://127.0.0.1:{free_ports()}"
    assert await offered(url, "get", "endpoints", "pr") == []
    assert await offered(url, "get", "nodes", "pr") == []
    assert await offered(url, "catalog", "get", "o") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_has_a_script(shell):
    code, out, err = await ctl("zmq://127.0.0.1:1", "completion", shell)
    assert (code, err) == (0, "")
    assert f"_DISCOVERYCTL_COMPLETE={shell}_complete" in out


async def test_bash_takes_the_script(tmp_path):
    program = tmp_path / "discoveryctl"
    program.write_text(f'#!/bin/sh\nexec {" ".join(CTL)} "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(discoveryctl completion bash)"; '
        "COMP_WORDS=(discoveryctl st); COMP_CWORD=1; "
        "compopt() { :; }; _discoveryctl_completion discoveryctl; echo ${COMPREPLY[@]}"
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert await at_terminal("bash", "-c", script, env={"PATH": path}) == (0, "status\n")
