"""One target under the coverage-guided fuzzer: `python -m tests.fuzz.guided TARGET -- FLAGS…`.

Needs atheris, which is not installed with the other tools: see `make fuzz`. What is found is kept
and told once, and the fuzzer goes on; only a hang or too much memory ends it.
"""

from __future__ import annotations

import logging
import random
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(name: str, flags: Sequence[str]) -> None:
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["discovery", "transports"]):
        targets = import_module("tests.fuzz.targets")
    changing, findings = import_module("tests.fuzz.changing"), import_module("tests.fuzz.findings")
    target = targets.TARGETS[name]
    logging.disable()
    failures = [findings.failure(target, file.read_bytes()) for file in findings.kept(target)]
    known = {findings.signature(error) for error in failures if error is not None}

    def once(data: bytes) -> None:
        error = findings.failure(target, data)
        if error is None or findings.signature(error) in known:
            return
        known.add(findings.signature(error))
        file = findings.keep(target, data)
        sys.stderr.write(f"FOUND {name}: {findings.signature(error)}, input in {file}\n")
        traceback.print_exception(error)

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            new: bytes = atheris.Mutate(data, max_size)
        else:
            new = changing.changed(data, changing.some_changes(rng))
        return new[:max_size]

    atheris.Setup([sys.argv[0], *flags], once, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
