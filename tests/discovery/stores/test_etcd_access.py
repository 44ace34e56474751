"""Who is let into etcd: certificates, logins, and several members of which some are gone."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from discovery.errors import InvalidArgumentError, PermissionDeniedError, UnavailableError
from discovery.store import Put
from discovery.stores.etcd.store import EtcdStore
from tests.support.etcd import etcd_cluster, etcd_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.support.etcd import Etcd


def store_of(url: str) -> EtcdStore:
    return EtcdStore(url, most_waiting=100, rng=random.Random(), probe_s=0.1)


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[EtcdStore]:
    """Open a store; its files are read aside, as `discovery.connect` does."""
    async with await asyncio.to_thread(store_of, url) as store:
        yield store


async def works(url: str) -> None:
    """Write and read through a URL."""
    async with opened(url) as store:
        await store.commit([Put("v1/1", b"x")])
        assert [entry.key for entry in (await store.snapshot("")).entries] == ["v1/1"]
        await store.grant(7, 30.0)
        assert await store.keep_alive(7) == 30.0


# ---- TLS


class Certificates:
    """Files of an authority, of a server named `host`, and of a client."""

    def __init__(self, folder: Path, host: str) -> None:
        authority = trustme.CA()
        self.ca, self.key, self.cert = (folder / f"{name}.pem" for name in ("ca", "key", "cert"))
        authority.cert_pem.write_to_path(self.ca)
        server = authority.issue_cert(host)
        self.flags = []
        for flag, blob in (
            ("--cert-file", server.cert_chain_pems[0]),
            ("--key-file", server.private_key_pem),
        ):
            file = folder / f"server{flag}.pem"
            blob.write_to_path(file)
            self.flags += [flag, str(file)]
        client = authority.issue_cert("client@example.org")
        client.private_key_pem.write_to_path(self.key)
        client.cert_chain_pems[0].write_to_path(self.cert)


async def test_a_member_is_trusted_by_its_certificate(tmp_path: Path) -> None:
    made = Certificates(tmp_path, "127.0.0.1")
    with etcd_server(tmp_path, *made.flags) as etcd:
        await works(f"{etcd.url}?ca={made.ca}")
        with pytest.raises(UnavailableError, match="certificate"):
            await works(f"{etcd.url}?tls=1")  # the system does not know this authority


async def test_a_member_of_another_name_is_not_trusted(tmp_path: Path) -> None:
    made = Certificates(tmp_path, "other.example")
    with (
        etcd_server(tmp_path, *made.flags) as etcd,
        pytest.raises(UnavailableError, match="Hostname Verification"),
    ):
        await works(f"{etcd.url}?ca={made.ca}")


async def test_a_member_may_want_a_certificate_of_ours(tmp_path: Path) -> None:
    made = Certificates(tmp_path, "127.0.0.1")
    flags = [*made.flags, "--client-cert-auth", "--trusted-ca-file", str(made.ca)]
    with etcd_server(tmp_path, *flags) as etcd:
        await works(f"{etcd.url}?ca={made.ca}&cert={made.cert}&key={made.key}")
        with pytest.raises(UnavailableError):
            await works(f"{etcd.url}?ca={made.ca}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"ca '.*none.pem' cannot be read: No such file"):
        store_of(f"etcd://h:1?ca={tmp_path}/none.pem")


# ---- logins


def set_passwords(etcd: Etcd) -> None:
    for command in (
        "user add root:top",
        "user add ours:secret",
        "role add ours",
        "role grant-permission ours readwrite v1/ w",
        "role grant-permission ours readwrite discoveryd/ w",
        "user grant-role ours ours",
        "user grant-role root root",
        "auth enable",
    ):
        etcd.ctl(*command.split())


async def test_a_login_is_needed_and_renewed(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    with etcd_server(tmp_path) as etcd:
        await asyncio.to_thread(set_passwords, etcd)
        url = f"{etcd.url}?user=ours&password_file={password}"
        async with opened(url) as store:
            await store.commit([Put("v1/1", b"")])
            await store.grant(7, 60.0)
            await asyncio.to_thread(etcd.kill)
            await asyncio.to_thread(etcd.start)  # it has forgotten who has logged in
            async with asyncio.timeout(30):
                while True:
                    try:
                        await store.commit([Put("v1/2", b"", 7)])
                        await store.keep_alive(7)
                        break
                    except UnavailableError:
                        await asyncio.sleep(0.05)
            assert len((await store.snapshot("")).entries) == 2
        for bad in ("", f"?user=ours&password_file={wrong}"):
            with pytest.raises(PermissionDeniedError) as refused:
                await works(f"{etcd.url}{bad}")
            assert "guess" not in str(refused.value)


# ---- several members


async def test_members_are_killed_in_turn_and_the_others_serve(tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as members:
        url = "etcd://" + ",".join(member.endpoint for member in members)
        async with opened(url) as store:
            snapshot = await store.snapshot("")
            async with store.watch("", snapshot.revision) as watch:
                await store.grant(7, 60.0)
                names: list[str] = []
                for member in members:
                    await asyncio.to_thread(member.kill)
                    names.append(await write_in_the_end(store, len(names)))
                    await store.keep_alive(7)
                    await asyncio.to_thread(member.start)
                seen: list[str] = []
                async with asyncio.timeout(30):
                    while set(names) - set(seen):
                        await watch.wait()
                        seen += [c.key for batch in watch.ready() for c in batch.changes]
                assert [key for key in seen if key in names] == names


async def write_in_the_end(store: EtcdStore, number: int) -> str:
    """Write a key of a name of its own; return the one that was surely written."""
    async with asyncio.timeout(30):
        for attempt in range(10_000):
            try:
                await store.commit([Put(f"v1/{number}/{attempt}", b"")])
            except UnavailableError:
                await asyncio.sleep(0.05)
            else:
                return f"v1/{number}/{attempt}"
    raise AssertionError
