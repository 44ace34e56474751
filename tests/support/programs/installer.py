"""Has locks of a cache, installs and drops, and is killed while it does. usage: installer.py …

hold ROOT               on `take` and `release` takes and releases the lock of "m"
count ROOT TIMES        under the lock of "m", counts in a file
use ROOT NAME           uses a model until it is killed
kills ROOT WHAT TIMES   kills what it does at each of its steps, and says what came of it
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from discovery.artifacts import local
from discovery.artifacts.cache import Cache
from discovery.artifacts.local import LocalSource
from discovery.artifacts.lock import locked, locked_if_free
from discovery.artifacts.manifest import Described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from discovery.artifacts.report import CacheReport
    from discovery.artifacts.source import SourceFile


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def hold(root: Path) -> None:
    with ExitStack() as stack:
        for line in sys.stdin:
            if line.strip() == "take":
                stack.enter_context(locked(root, "m", on_wait=lambda who: say(waits=who)))
                say(has=True)
            else:
                stack.close()
                say(has=False)


def count(root: Path, times: int) -> None:
    file = root / "count"
    for _ in range(times):
        with locked(root, "m"):
            counted = int(file.read_text()) if file.exists() else 0
            file.write_text("")  # nobody may see this
            file.write_text(str(counted + 1))
    say(done=True)


def use(root: Path, name: str) -> None:
    with Cache(root).used(name) as report:
        say(uses=report.status)
        sys.stdin.read()


# ---- kills

_STEPS = ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.utime")
_STEPS += ("shutil.rmtree", "source.read")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MARK = re.compile("[0-9a-f]{16}")
_NUMBER = re.compile(r"(\.locks/m/)\d+")
VERSIONS = (  # in as many steps
    {"config.json": b"{}", "weights/a.bin": b"a" * 150, "weights/old.bin": b"b" * 90},
    {"config.json": b"[]", "weights/a.bin": b"A" * 150, "weights/new.bin": b"c" * 90},
)


class TellingSource(LocalSource):
    """A folder, of which each piece that is read is a step."""

    def read(self, file: SourceFile, start: int) -> Iterator[bytes]:
        for piece in super().read(file, start):
            sys.audit("source.read", file.path)
            yield piece


class SourceAfar(TellingSource):
    is_resumable = True


class Story:
    """A cache in which "m" is installed and dropped by children that are killed.

    Each one goes on with what the one before has left.
    """

    def __init__(self, root: Path) -> None:
        self.root = root / "cache"
        self.cache = Cache(self.root)
        self.version: int | None = None  # which is installed
        self.folders = [root / "version-0", root / "version-1"]
        for folder, files in zip(self.folders, VERSIONS, strict=True):
            for path, data in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)

    def pull(self, version: int, kind: type[LocalSource] = TellingSource) -> None:
        self.cache.pull(Described(name="m", source=""), kind(self.folders[version]))
        self.version = version

    def begun(self, work: Callable[[], object], at: int) -> list[str]:
        """Let a child work, which is killed before its step `at`; return its steps."""
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            try:
                sys.addaudithook(self._hook(at, writes))
                work()
            except BaseException as error:  # noqa: BLE001 - nothing goes back into the parent
                os.write(2, f"{error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        os.close(writes)
        with os.fdopen(reads) as told:
            steps = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert is_killed == (0 < at <= len(steps)), (steps, status)
        assert is_killed or status == 0, (steps, status)
        return steps

    def _hook(self, at: int, writes: int) -> Callable[[str, tuple[object, ...]], None]:
        lock, numbers = threading.Lock(), itertools.count(1)
        above = f"{self.root}/"

        def hook(event: str, args: tuple[object, ...]) -> None:
            if event not in _STEPS and not (event == "open" and int(args[2]) & _WRITES):
                return
            paths = args[:2] if event in {"os.link", "os.rename"} else args[:1]
            where = " to ".join(str(path).removeprefix(above) for path in paths)
            label = _NUMBER.sub(r"\1#", _MARK.sub("#", f"{event} {where}"))
            with lock:  # of the threads that copy, one at a time
                os.write(writes, f"{label}\n".encode())
                if next(numbers) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                    signal.pause()

        return hook

    def found(self) -> int | None:
        """What is installed after the next start, None for nothing, and all is well otherwise."""
        self.version = self._found()
        return self.version

    def _found(self) -> int | None:
        self.cache = Cache(self.root)
        report = self.cache.inspect("m", is_deep=True)
        for name in (".staging", ".purge"):
            left = list((self.root / name).iterdir())
            assert not left, left
        with locked_if_free(self.root, "m") as held:
            assert held, "the lock is held"
        if report.status == "missing":
            assert "installed_at_unix_ms" not in report.stamp, report
            return None
        return self._version(report)

    def _version(self, report: CacheReport) -> int:
        assert report.status == "installed", report
        assert report.manifest, report
        at = report.manifest.installed_at_unix_ms
        assert report.stamp["installed_at_unix_ms"] == at, report
        tree = self.root / "m"
        files = {p.relative_to(tree).as_posix(): p for p in tree.rglob("*") if p.is_file()}
        del files["manifest.json"]
        there = {path: file.read_bytes() for path, file in files.items()}
        assert {file.path for file in report.manifest.files} == set(there), report
        return VERSIONS.index(there)


class Deed(NamedTuple):
    """What a child does: `work` makes `new` of `old`, which is decided once a step is done."""

    old: int | None
    new: int | None
    work: Callable[[], object]
    decided_by: str


def over_another(story: Story, number: int, kind: type[LocalSource] = TellingSource) -> Deed:
    """Install one version over the other."""
    old = story.version
    assert old is not None
    return Deed(old, 1 - old, lambda: story.pull(1 - old, kind), "os.rename m to .purge/m-#")


def from_afar(story: Story, number: int) -> Deed:
    """Do the same from afar, every second time with what the one before has left."""
    if not number % 2:
        shutil.rmtree(story.root / ".partial/m", ignore_errors=True)
    return over_another(story, number, SourceAfar)


def over_nothing(story: Story, number: int) -> Deed:
    """Install a version where there is none: it is there as soon as it is whole."""
    story.cache.drop("m")
    new = number % 2
    return Deed(None, new, lambda: story.pull(new), "os.rename .staging/m-#/manifest.json.tmp")


def dropping(story: Story, number: int) -> Deed:
    """Drop what is installed."""
    if story.version is None:
        story.pull(number % 2)
    return Deed(story.version, None, lambda: story.cache.drop("m"), "os.rename m to .purge/m-#")


DEEDS: dict[str, Callable[[Story, int], Deed]] = {
    "install": over_another,
    "install from afar": from_afar,
    "first install": over_nothing,
    "drop": dropping,
}


def killed(story: Story, what: str, at: int, number: int) -> tuple[list[str], str]:
    """Kill before a step, 0 for none, and start again; return the steps, and what came of it."""
    deed = DEEDS[what](story, number)
    steps = story.begun(deed.work, at)
    if number % 2:  # the start is killed too, each at another step
        story.begun(lambda: Cache(story.root), number // 2 + 1)
    done = steps[:-1] if len(steps) == at else steps
    is_new = any(step.startswith(deed.decided_by) for step in done)
    found = story.found()
    assert found == (deed.new if is_new else deed.old), (found, deed, steps)
    return steps, "new" if is_new else "old"


def kills(root: Path, what: str, times: int) -> None:
    """Kill at each step of what is not killed at first; say how often, and what came of it."""
    local.PIECE_BYTES = 64  # two pieces or three of a file
    gc.freeze()  # so that a child copies less of the memory
    story = Story(root)
    story.pull(0, SourceAfar)
    steps, _ = killed(story, what, 0, 0)
    hit: Counter[str] = Counter()
    came: Counter[str] = Counter()
    for at, number in itertools.product(range(1, len(steps) + 1), range(times)):
        done, outcome = killed(story, what, at, number)
        if len(done) < at:  # it went on with what another had left, in fewer steps
            done, outcome = killed(story, what, at, number)
        assert len(done) == at, (at, done)
        hit[done[-1]] += 1
        came[outcome] += 1
        if number == times - 1:
            say(killed_at=at)
            story.pull(at % 2)  # works as ever
            assert story.found() == at % 2
    assert not list((story.root / ".partial").iterdir())
    assert len(list((story.root / ".locks/m").iterdir())) == 1
    say(steps=steps, hit=hit, came=came)


match sys.argv[1:]:
    case ["hold", root]:
        hold(Path(root))
    case ["count", root, times]:
        count(Path(root), int(times))
    case ["use", root, name]:
        use(Path(root), name)
    case ["kills", root, what, times]:
        kills(Path(root), what, int(times))
