"""Targets: the catalog and claims, as they are stored, sent and typed."""

from __future__ import annotations

import json
from typing import Any

from discovery.catalogrecord import (
    CatalogRecord,
    catalog_from_wire,
    decode_catalog,
    described,
    kept_of,
)
from discovery.claimrecord import (
    ClaimRecord,
    check_message,
    check_model_name,
    check_provider,
    check_status,
    claim_from_wire,
    claim_to_wire,
    decode_claim,
    phase_in,
    status_of,
)
from discovery.cli.typed import config_of
from discovery.errors import InvalidArgumentError, RecordError
from discovery.modelname import ModelName, check_name, check_tenant, check_version
from discovery.objectname import object_name
from discovery.stamps import checked_stamp
from discovery.store import Entry
from tests.fuzz.contract import Target, attempt, same, text_of, value_of

AT = "2026-11-21T18:00:00.000Z"
CLAIM = {
    "model_name": "org/m",
    "provider": "Gcs",
    "status": "DOWNLOADING",
    "created_at": AT,
    "last_used_at": "2026-11-21T20:00:00+02:00",
    "message": "Starting download...",
    "owner": 7,
    "mark": "a1",
}
MODEL = ModelName(tenant="acme", name="org/m-3.1", version=2)
COLUMNS = {
    "model_type": "llm",
    "backend": "vllm",
    "task": "generate",
    "base_model": "acme::b::1",
    "artifact_path": "/a",
    "config": {"x": [1, {"y": None}]},
}
RECORD = described(MODEL, **COLUMNS, now=AT)


def claims(data: bytes) -> None:
    stored = attempt(lambda: decode_claim("models/claims/k", data), RecordError)
    if stored is not None:
        same(decode_claim("k", stored.encode()), stored)
        for has_owner in (True, False):
            shown = stored.shown(has_owner=has_owner, revision=7, now=AT)
            same(claim_from_wire(claim_to_wire(shown)), shown)
        assert len(object_name(stored.provider, stored.model_name)) <= 253
    status_of(phase_in(data), has_owner=True)
    found: Any = value_of(data)
    if isinstance(found, dict):
        made = attempt(lambda: claim_from_wire(found), InvalidArgumentError)
        assert made is None or isinstance(made, ClaimRecord)
    for check in (check_model_name, check_provider, check_status, check_message):
        attempt(lambda check=check: check(found), InvalidArgumentError)
    attempt(lambda: checked_stamp("at", found), InvalidArgumentError)


def catalog(data: bytes) -> None:
    entry = Entry(MODEL.row, data, 7, 1, None)
    record = attempt(lambda: decode_catalog(entry, MODEL.tenant), RecordError)
    if record is not None:
        again = decode_catalog(Entry(MODEL.row, record.encode(), 7, 1, None), MODEL.tenant)
        same(again, record)
    assert kept_of(data, RECORD).key == RECORD.key
    found: Any = value_of(data)
    if isinstance(found, dict):
        made = attempt(lambda: catalog_from_wire(found), InvalidArgumentError)
        assert made is None or isinstance(made, CatalogRecord)
    for check in (check_name, check_tenant, check_version):
        attempt(lambda check=check: check(found), InvalidArgumentError)


def model_keys(data: bytes) -> None:
    text = text_of(data)
    model = attempt(lambda: ModelName.parse(text), InvalidArgumentError)
    assert model is None or model.key == text


def typed_configs(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    if not text.startswith("@"):  # not files of this machine
        attempt(lambda: config_of(text), InvalidArgumentError)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


TARGETS = [
    Target(
        run=claims,
        covers=[
            *(decode_claim, claim_from_wire, status_of, checked_stamp),
            *(check_model_name, check_provider, check_status, check_message),
        ],
        seeds=[_json(CLAIM), _json(CLAIM | {"revision": 3, "status": "ERROR", "owner": None})],
    ),
    Target(
        run=catalog,
        covers=[
            *(decode_catalog, catalog_from_wire, kept_of),
            *(check_name, check_tenant, check_version),
        ],
        seeds=[RECORD.encode(), _json(RECORD.to_wire())],
    ),
    Target(run=model_keys, covers=[ModelName.parse], seeds=[b"m::1", b"acme::org/m-3.1::2"]),
    Target(run=typed_configs, covers=[config_of], seeds=[b'{"a": [1, null]}']),
]
