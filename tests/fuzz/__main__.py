"""The coverage-guided fuzzer over all targets: `python -m tests.fuzz --seconds 3600`.

Each target gets its share of the time in processes of its own, in turns of 20 s: what
is mended meanwhile is seen by the next turn. The figures at the end are how often a target ran,
and how many places of the code its inputs reached at first and at last.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.distilling import distil
from tests.fuzz.findings import keep, kept
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.contract import Target

TURN_S = 20.0
_SHORTEST_S = 2.0
_PATIENCE = 3
_LARGEST_BYTES = 8192
_SLOWEST_S = 10
_MOST_MB = 1500
_COVERED = re.compile(
    r"^#\d+\s+(?:INITED|DONE|NEW|REDUCE|pulse)\s+cov: (\d+) ft: (\d+)", re.MULTILINE
)
_RUNS = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)
_WORDS = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{2,30}")


@dataclass
class Campaign:
    """What one target has had, and what came of it."""

    target: Target
    corpus: Path
    left_s: float
    runs: int = 0
    failures: int = 0
    covered: list[tuple[int, int]] = field(default_factory=list)

    def begin(self) -> None:
        """Write the valid inputs, and the words that inputs are made of."""
        folder = self.corpus / self.target.name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(self.target.seeds):
            (folder / f"seed-{number}").write_bytes(seed)
        words = sorted({word for seed in self.target.seeds for word in _WORDS.findall(seed)})
        lines = "".join(f'"{word.decode()}"\n' for word in words)
        self.words.write_text(lines)

    @property
    def words(self) -> Path:
        return self.corpus / f"{self.target.name}.dict"

    def turn(self) -> None:
        """Fuzz for a while; what hangs or eats memory is kept, and told."""
        seconds = max(1, round(min(self.left_s, TURN_S)))
        started = time.monotonic()
        done = subprocess.run(self._command(seconds), stderr=subprocess.PIPE, check=False)
        self.left_s -= time.monotonic() - started
        told = done.stderr.decode(errors="replace")
        with (self.corpus / f"{self.target.name}.log").open("a") as log:
            log.write(told)
        for line in told.splitlines():
            if line.startswith("FOUND"):
                say(line)
        self.runs += sum(map(int, _RUNS.findall(told)))
        self.covered += [(int(cov), int(ft)) for cov, ft in _COVERED.findall(told)]
        for file in self.corpus.glob(f"{self.target.name}-*-*"):
            kept_as = keep(self.target, file.read_bytes())
            say(f"FOUND {self.target.name}: {file.name}, input in {kept_as}")
            file.unlink()
        self.failures = self.failures + 1 if done.returncode else 0
        if self.failures == _PATIENCE:
            sys.exit(f"{self.target.name}: the fuzzer does not run\n{told[-2000:]}")

    def _command(self, seconds: int) -> list[str]:
        return [
            *(sys.executable, "-m", "tests.fuzz.guided", self.target.name),
            *(f"-max_total_time={seconds}", f"-max_len={_LARGEST_BYTES}", f"-timeout={_SLOWEST_S}"),
            *(f"-rss_limit_mb={_MOST_MB}", "-print_final_stats=1", "-reload=0"),
            f"-artifact_prefix={self.corpus / self.target.name}-",
            *([f"-dict={self.words}"] if self.words.stat().st_size else []),
            str(self.corpus / self.target.name),
        ]

    def figures(self) -> str:
        first, last = (self.covered[0], self.covered[-1]) if self.covered else ((0, 0), (0, 0))
        growth = f"{first[0]:>6} -> {last[0]:<6} {first[1]:>6} -> {last[1]:<6}"
        return f"{self.target.name:<20} {self.runs:>9} {growth} {len(kept(self.target)):>5}"


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def fuzz(targets: Sequence[Target], corpus: Path, seconds: float, jobs: int) -> list[Campaign]:
    weights = sum(target.weight for target in targets)
    campaigns = [
        Campaign(target, corpus, seconds * jobs * target.weight / weights) for target in targets
    ]
    for campaign in campaigns:
        campaign.begin()
    with ThreadPoolExecutor(jobs) as pool:
        while todo := [campaign for campaign in campaigns if campaign.left_s > _SHORTEST_S]:
            list(pool.map(Campaign.turn, todo))
    return campaigns


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="for all targets together")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only these")
    parser.add_argument("--corpus", type=Path, help="folder to go on from; default: a new one")
    parser.add_argument("--jobs", type=int, choices=[1, 2], default=1)
    parser.add_argument("--distil", action="store_true", help="only keep the best of --corpus")
    given = parser.parse_args()
    targets = [TARGETS[name] for name in given.target or TARGETS]
    if given.distil:
        distil(targets, given.corpus)
        return
    with tempfile.TemporaryDirectory() as new:
        corpus = given.corpus or Path(new)
        before = {file for target in targets for file in kept(target)}
        campaigns = fuzz(targets, corpus, given.seconds, given.jobs)
    say(f"{'target':<20} {'runs':>9} {'places':>16} {'features':>16} {'found':>5}")
    for campaign in campaigns:
        say(campaign.figures())
    new_ones = {file for target in targets for file in kept(target)} - before
    say(f"{sum(c.runs for c in campaigns)} runs, {len(new_ones)} new findings")
    sys.exit(bool(new_ones))


if __name__ == "__main__":
    main()
