"""Targets: what lies in a cache, and what names its sources and secrets."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from discovery.artifacts.credentials import check_alias, refuse_plaintext, secret_of
from discovery.artifacts.entry import check_entry, check_path, entry_of
from discovery.artifacts.layout import Layout
from discovery.artifacts.manifest import Manifest, ManifestFile, decode_manifest, manifest_of
from discovery.artifacts.marks import holder_of
from discovery.artifacts.opening import check_source, check_takes_secret, provider_of
from discovery.artifacts.reportwire import report_from_wire, report_to_wire
from discovery.artifacts.stamping import read_stamp
from discovery.artifacts.tree import UnhealthyError, check_bytes, checked
from discovery.artifacts.usage import entries_by_last_use, entries_in_use
from discovery.claimrecord import ClaimRecord, ClaimStatus
from discovery.config import artifact_settings_from_env
from discovery.errors import InvalidArgumentError, SettingError
from discovery.modelname import check_name
from tests.fuzz.contract import Target, attempt, same, text_of, value_of

AT = "2026-11-21T18:00:00.000Z"
FILE = ManifestFile(path="a/b.bin", sha256="ab" * 32, size_bytes=3)
MANIFEST = Manifest(
    name="m",
    source="hf://org/m",
    installed_at_unix_ms=7,
    total_size_bytes=3,
    files=[FILE],
)
REPORT = {
    "name": "m",
    "status": "installed",
    "path": "/c/m",
    "footprint_bytes": 3,
    "manifest": MANIFEST.to_wire(),
    "detail": None,
    "stamp": {"status": "installed"},
}


def manifests(data: bytes) -> None:
    manifest = attempt(lambda: decode_manifest(data), InvalidArgumentError)
    if manifest is not None:
        same(decode_manifest(manifest.encode()), manifest)
        assert not any(file.path.startswith(("/", "..")) for file in manifest.files)
    found: Any = value_of(data)
    attempt(lambda: manifest_of(found), InvalidArgumentError)
    if isinstance(found, dict):
        report = attempt(lambda: report_from_wire(found), InvalidArgumentError)
        if report is not None:
            same(report_from_wire(report_to_wire(report)), report)


def cache_files(data: bytes) -> None:
    """Whatever is in the files of a cache: each is read, or is as if it was not there."""
    with TemporaryDirectory() as name:
        layout = Layout(Path(name))
        tree = layout.entry("m")
        tree.mkdir()
        for file in (tree / "manifest.json", tree / "x", layout.root / ".stamps" / "m.json"):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)
        attempt(lambda: checked(tree), UnhealthyError)
        manifest = attempt(lambda: decode_manifest(data), InvalidArgumentError)
        if manifest is not None:
            attempt(lambda: check_bytes(tree, manifest, lambda: None), UnhealthyError)
        read_stamp(layout, "m")
        holder, _ = holder_of(tree / "x")
        assert holder is None or holder.is_running() in {None, True, False}
        file = tree / "secrets"
        file.touch(0o600)
        file.write_bytes(data)
        attempt(lambda: secret_of("a", {}, file), InvalidArgumentError)


def names_of_files(data: bytes) -> None:
    text = text_of(data)
    entry = attempt(lambda: check_entry(text), InvalidArgumentError)
    assert entry is None or check_entry(entry) == entry
    path = attempt(lambda: check_path(text), InvalidArgumentError)
    assert path is None or not {"", ".", ".."} & set(path.split("/"))
    name = attempt(lambda: check_name(text), InvalidArgumentError)
    if name is not None:
        assert check_entry(entry_of(name, 1)) == entry_of(name, 1)
    attempt(lambda: check_alias(text), InvalidArgumentError)
    attempt(lambda: refuse_plaintext([text]), InvalidArgumentError)


def sources(data: bytes) -> None:
    text = text_of(data)
    url = attempt(lambda: check_source(text), InvalidArgumentError)
    if url is not None:
        assert check_source(url) == url
        assert provider_of(url) in {"HuggingFace", "Gcs", "File"}
        attempt(lambda: check_takes_secret(url), InvalidArgumentError)


def uses(data: bytes) -> None:
    """Cards and the names of claims are anybody's."""
    found: Any = value_of(data)
    name = found if isinstance(found, str) and found else text_of(data)
    claim = ClaimRecord(
        model_name=f"c/File/{name}",
        provider="File",
        status=ClaimStatus.DOWNLOADED,
        created_at=AT,
        last_used_at=AT,
    )
    assert len(entries_by_last_use("c", [claim])) <= 1
    entries_in_use("c", [claim], [found] if isinstance(found, dict) else [])


def artifact_variables(data: bytes) -> None:
    text = text_of(data)
    for name in ("ROOT", "ID", "SOURCE", "CREDENTIALS_FILE", "BUDGET_BYTES"):
        environ = {f"DISCOVERY_ARTIFACTS_{name}": text}
        attempt(lambda environ=environ: artifact_settings_from_env(environ), SettingError)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


TARGETS = [
    Target(
        run=manifests,
        covers=[decode_manifest, manifest_of, report_from_wire],
        seeds=[MANIFEST.encode(), _json(REPORT)],
    ),
    Target(
        run=cache_files,
        covers=[checked, check_bytes, read_stamp, holder_of, secret_of],
        seeds=[MANIFEST.encode(), b'a = "s"', _json({"token": "t", "pid": 1})],
    ),
    Target(
        run=names_of_files,
        covers=[check_entry, check_path, entry_of, check_alias],
        seeds=[b"m-1", b"a/b.bin", b"org/m"],
    ),
    Target(
        run=sources,
        covers=[check_source, provider_of, check_takes_secret],
        seeds=[b"hf://org/m@main", b"/a", b"https://h/x?a=b", b"s3://b/k"],
    ),
    Target(
        run=uses,
        covers=[],
        seeds=[_json({"catalog_key": "m::1", "artifact": {"cache": "c", "entry": "m"}}), b"m@1"],
    ),
    Target(run=artifact_variables, covers=[artifact_settings_from_env], seeds=[b"1", b"/c"]),
]
