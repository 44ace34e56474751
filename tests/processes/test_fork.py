"""A program that forks: the connection stays with the parent, and the child is told so."""

from __future__ import annotations

from tests.support.processes import daemon, free_ports, program, script

TOLD = "connected by the process that this one was forked from: connect again"


async def test_a_forked_child_is_told_to_connect_again_and_can():
    """Found by writing the guide: calls waited for ever on a thread that only the parent has."""
    async with daemon(port := free_ports()):
        url = f"zmq://127.0.0.1:{port}"
        async with program(*script("forking", url)) as forking:
            assert [await forking.hear() for _ in range(4)] == [{"child": TOLD}] * 4
            assert await forking.hear() == {"child": 2}
            assert await forking.hear() == {"parent": 2}
            assert await forking.ended() == 0
