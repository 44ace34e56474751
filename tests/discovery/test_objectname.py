"""Names of claims' objects; the cases are those of the mapping's source."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.objectname import name_only_object_name, object_name

LABEL = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("model", "readable"),
    [
        ("meta-llama/Llama-3.1-8B", "huggingface--meta-llama--llama-3.1-8b"),
        ("a_b c@d", "huggingface--a-b-c-d"),
        ("gemma", "huggingface--gemma"),
        ("x--.", "huggingface--x"),
        ("é", "huggingface"),
    ],
)
def test_the_readable_part_is_sanitised(model, readable):
    assert object_name("HuggingFace", model) == (
        f"mx-cache-{readable}-{hashed(f'HuggingFace/{model}')}"
    )


@pytest.mark.parametrize("model", ["", "///", "---", ".-.", "é"])
def test_an_input_with_nothing_left_is_the_hash_alone(model):
    assert name_only_object_name(model) == f"mx-cache-{hashed(model)}"


@pytest.mark.parametrize(
    ("one", "other"),
    [("google-T5/m", "google-t5/m"), ("a/b", "a--b"), ("a_b", "a-b"), ("m", "m.")],
)
def test_names_that_differ_only_by_what_is_lost_do_not_collide(one, other):
    assert object_name("Gcs", one) != object_name("Gcs", other)
    assert object_name("Gcs", one)[:-12] == object_name("Gcs", other)[:-12]


def test_the_same_name_of_two_providers_has_two_objects():
    assert len({object_name(p, "m") for p in ("HuggingFace", "Ngc", "Gcs", "File")}) == 4
    assert name_only_object_name("m") not in {object_name("Gcs", "m"), object_name("File", "m")}


def test_a_long_name_is_cut_and_keeps_its_hash():
    names = {object_name("Ngc", "m" * length) for length in (231, 1000, 1001)}
    assert len(names) == 3
    assert max(map(len, names)) == 253
    assert all(LABEL.fullmatch(name) for name in names)


@given(st.sampled_from(["HuggingFace", "File"]), st.text(max_size=300))
def test_every_name_is_short_ascii_and_always_the_same(provider, model):
    name = object_name(provider, model.encode(errors="ignore").decode())
    assert LABEL.fullmatch(name)
    assert len(name) <= 253
