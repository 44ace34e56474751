"""Every reader of untrusted input keeps its contract, whatever it is given.

The coverage-guided fuzzer looks further (`make fuzz`); what it has found is played again here.
"""

from __future__ import annotations

import sys
from collections import Counter
from inspect import unwrap
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from tests.fuzz.changing import BYTE_KINDS, changed
from tests.fuzz.contract import Target, attempt, play
from tests.fuzz.distilling import read_corpus
from tests.fuzz.findings import FOUND, failure, kept, signature
from tests.fuzz.readers import EXEMPT, name_of, readers
from tests.fuzz.targets import TARGETS
from tests.support.changes import KINDS, ODD_VALUES, Change

if TYPE_CHECKING:
    from pathlib import Path

EVERY = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
FINDINGS = [(target, file) for target in TARGETS.values() for file in kept(target)]
CORPUS = read_corpus()
CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(KINDS + BYTE_KINDS),
        st.integers(0, 2**16),
        st.sampled_from(ODD_VALUES),
    ),
    min_size=1,
    max_size=4,
)
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@EVERY
def test_what_is_valid_is_taken(target: Target) -> None:
    for seed in target.seeds:
        play(target, seed)


@EVERY
@settings(derandomize=True, max_examples=60, database=None)
@given(data=st.binary(max_size=80) | st.text(max_size=40).map(lambda t: t.encode(errors="replace")))
def test_random_bytes_and_texts_are_read_or_refused(target: Target, data: bytes) -> None:
    play(target, data)


@EVERY
@settings(derandomize=True, max_examples=150, database=None)
@given(which=st.integers(0, 99), changes=CHANGES)
def test_what_is_nearly_valid_is_read_or_refused(
    target: Target, which: int, changes: list[Change]
) -> None:
    play(target, changed(target.seeds[which % len(target.seeds)], changes))


@pytest.mark.parametrize(
    ("target", "file"), FINDINGS, ids=[f"{target.name}-{file.name}" for target, file in FINDINGS]
)
def test_what_was_found_is_mended(target: Target, file: Path) -> None:
    play(target, file.read_bytes())


@EVERY
def test_what_led_the_fuzzer_further_is_read_or_refused(target: Target) -> None:
    for data in CORPUS[target.name]:
        play(target, data)


def test_every_finding_is_of_a_target() -> None:
    assert {folder.name for folder in FOUND.glob("*")} <= TARGETS.keys()
    assert CORPUS.keys() == TARGETS.keys()


def test_every_reader_has_a_target_or_a_reason_for_none() -> None:
    covered = {name_of(one) for target in TARGETS.values() for one in target.covers}
    exempt = [name for names in EXEMPT.values() for name in names]
    assert readers() - covered - set(exempt) == set()
    assert covered.isdisjoint(exempt)
    assert set(exempt) <= readers()  # what is gone needs no reason
    assert max(Counter(exempt).values()) == 1


@EVERY
def test_a_target_calls_what_it_says_it_covers(target: Target) -> None:
    for reader in target.covers:
        getattr(reader, "cache_clear", bool)()
    called = set()

    def watch(frame: Any, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    sys.setprofile(watch)
    try:
        for seed in target.seeds:
            target.run(seed)
    finally:
        sys.setprofile(None)
    names = {(code.co_filename, code.co_qualname.rpartition(".")[2]) for code in called}
    for reader in target.covers:
        code = unwrap(getattr(reader, "__func__", reader)).__code__
        is_protocol = reader.__qualname__ == "Codec.decode"  # its implementations are private
        assert is_protocol or (code.co_filename, code.co_name) in names, name_of(reader)


def _lax(_: bytes) -> None:
    """A reader that breaks its contract."""
    raise KeyError("x")


def _rude(_: bytes) -> None:
    attempt(lambda: _refusing("\x1b[0m"), InvalidArgumentError)


def _refusing(text: str) -> None:
    raise InvalidArgumentError(text)


@pytest.mark.parametrize("run", [_lax, _rude], ids=["untyped error", "unprintable text"])
def test_a_broken_contract_is_noticed(run: Any) -> None:
    target = Target(run=run, covers=(), seeds=())
    error = failure(target, b"")
    assert error is not None
    assert type(error).__name__ in signature(error)
