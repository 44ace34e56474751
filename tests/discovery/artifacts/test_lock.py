"""One at a time of a model, among threads, processes and machines; spec/models.md §3, "locking"."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from discovery.artifacts import marks
from discovery.artifacts.lock import holder_text, locked, locked_if_free, take
from discovery.artifacts.marks import STALE_S, Holder, holder_of, this_process, touched
from discovery.artifacts.stopping import Stop, StoppedError
from discovery.errors import FailedPreconditionError
from tests.support.processes import program, script

ELSEWHERE = Holder(host="elsewhere", boot="another", numbers="pid:[1]", pid=1, since="1")


def is_free(root, entry: str = "m") -> bool:
    with locked_if_free(root, entry) as held:
        return held is not None


def held_by(root, holder: Holder, age_s: float = 0.0) -> None:
    """Leave the lock as a process does that has it and touched it last so long ago."""
    folder = root / ".locks/m"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(1 + max([int(p.name) for p in folder.glob("[0-9]*")], default=0))
    path.write_text(json.dumps({**asdict(holder), "token": "theirs"}))
    os.utime(path, (time.time() - age_s,) * 2)


# ---- among threads


def test_who_has_the_lock_keeps_others_out_until_the_block_ends(tmp_path):
    with locked(tmp_path, "m"):
        assert not is_free(tmp_path)
        assert take(tmp_path, "m") is None
    assert is_free(tmp_path)


def test_a_block_that_fails_gives_the_lock_back(tmp_path):
    with pytest.raises(ValueError, match="odd"), locked(tmp_path, "m"):
        raise ValueError("odd")
    assert is_free(tmp_path)


def test_different_models_do_not_wait_for_each_other(tmp_path):
    with locked(tmp_path, "m"), locked(tmp_path, "n"), locked_if_free(tmp_path, "o") as held:
        assert held is not None


def test_different_caches_do_not_wait_for_each_other(tmp_path):
    with locked(tmp_path / "one", "m"):
        assert is_free(tmp_path / "other")


def test_of_many_threads_one_is_in_at_a_time(tmp_path):
    inside, most = [], []

    def work(_: int) -> None:
        with locked(tmp_path, "m"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8


def test_of_many_that_take_it_at_once_one_does(tmp_path):
    together, taken = threading.Barrier(8), []

    def work(_: int) -> None:
        together.wait()
        taken.append(take(tmp_path, "m"))

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        (held,) = filter(None, taken)
        held.check()
        held.release()
        taken.clear()


def test_who_waits_is_told_for_whom_and_can_be_stopped(tmp_path):
    stop, told = Stop(), []

    def tell(who: str) -> None:
        told.append(who)
        stop.set()

    with locked(tmp_path, "m"), pytest.raises(StoppedError), locked(tmp_path, "m", stop, tell):
        pass
    assert told == [f"process {os.getpid()} on {this_process().host}"]


def test_who_waits_has_it_when_it_is_given_back(tmp_path):
    with ExitStack() as first, ThreadPoolExecutor(1) as pool:
        first.enter_context(locked(tmp_path, "m"))
        waits = threading.Event()

        def second() -> bool:
            with locked(tmp_path, "m", on_wait=lambda _: waits.set()):
                return True

        job = pool.submit(second)
        assert waits.wait(10)
        assert not job.done()
        first.close()
        assert job.result(10)


def test_nothing_but_the_last_lock_is_left(tmp_path):
    for _ in range(3):
        assert is_free(tmp_path)
    assert [path.name for path in (tmp_path / ".locks/m").iterdir()] == ["3"]
    assert holder_text(tmp_path, "m") == "another process"  # which is nobody


# ---- among processes


async def test_a_second_process_waits_until_the_first_is_done(tmp_path):
    hold = script("installer", "hold", tmp_path)
    async with program(*hold) as first, program(*hold) as second:
        first.tell("take")
        assert await first.hear() == {"has": True}
        second.tell("take")
        assert (await second.hear())["waits"].startswith(f"process {first.pid} on ")
        assert not await asyncio.to_thread(is_free, tmp_path)
        first.tell("release")
        assert await first.hear() == {"has": False}
        assert await second.hear() == {"has": True}
        assert not await asyncio.to_thread(is_free, tmp_path)


async def test_a_holder_that_is_killed_frees_it_at_once(tmp_path):
    hold = script("installer", "hold", tmp_path)
    async with program(*hold) as first, program(*hold) as second:
        first.tell("take")
        await first.hear()
        second.tell("take")
        await second.hear()  # it waits
        first.process.kill()
        await first.ended()
        killed_at = time.monotonic()
        assert await second.hear() == {"has": True}
        assert time.monotonic() - killed_at < STALE_S / 3


async def test_a_holder_that_is_stopped_and_not_dead_keeps_it(tmp_path):
    async with program(*script("installer", "hold", tmp_path)) as first:
        first.tell("take")
        await first.hear()
        first.send_signal(signal.SIGSTOP)
        (path,) = (tmp_path / ".locks/m").iterdir()
        os.utime(path, (0, 0))  # for long
        assert not await asyncio.to_thread(is_free, tmp_path)


async def test_of_many_processes_one_is_in_at_a_time(tmp_path):
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(counted(tmp_path, 5))
    assert (tmp_path / "count").read_text() == "20"


async def counted(root, times: int) -> None:
    async with program(*script("installer", "count", root, times)) as counter:
        assert await counter.hear() == {"done": True}


def test_a_process_that_is_gone_has_nothing_even_if_another_has_its_number(tmp_path):
    gone = replace(this_process(), since="1")
    for holder in (gone, replace(this_process(), pid=2**22 + 1)):
        held_by(tmp_path, holder)
        assert is_free(tmp_path)


def test_a_process_that_has_ended_and_was_not_waited_for_has_nothing(tmp_path):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it is a zombie from here on
        since = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        held_by(tmp_path, replace(this_process(), pid=pid, since=since))
        assert is_free(tmp_path)
    finally:
        os.waitpid(pid, 0)


# ---- among machines


@pytest.mark.parametrize(
    "holder", [ELSEWHERE, replace(this_process(), boot="b"), replace(this_process(), numbers="n")]
)
def test_a_holder_elsewhere_is_believed_until_its_file_was_untouched_for_long(tmp_path, holder):
    held_by(tmp_path, holder, STALE_S - 10)
    assert not is_free(tmp_path)
    assert holder_text(tmp_path, "m") == f"process {holder.pid} on {holder.host}"
    held_by(tmp_path, holder, STALE_S + 10)
    assert is_free(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "3", "[]", "{}", '{"token": "x", "pid": 1}', "[" * 9999])
def test_a_lock_that_cannot_be_read_is_believed_as_long(tmp_path, text):
    held_by(tmp_path, ELSEWHERE)
    path = tmp_path / ".locks/m/1"
    path.write_text(text)
    assert not is_free(tmp_path)
    assert holder_text(tmp_path, "m") == "another process"
    os.utime(path, (time.time() - STALE_S - 10,) * 2)
    assert is_free(tmp_path)


def test_without_a_boot_id_nobody_is_looked_up(monkeypatch):
    monkeypatch.setattr(marks, "_text", lambda _: "")
    assert this_process().is_running() is None


def test_a_file_is_touched_while_the_block_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(marks, "TOUCH_S", 0.001)
    path = tmp_path / "f"
    path.touch()
    with touched(path):
        for _ in range(2):
            os.utime(path, (0, 0))
            deadline = time.monotonic() + 10
            while not path.stat().st_mtime and time.monotonic() < deadline:
                pass
            assert path.stat().st_mtime
        path.unlink()  # by those who have taken it over
    assert not path.exists()


def test_who_was_taken_for_dead_is_told_and_takes_nothing_from_its_successor(tmp_path):
    first = take(tmp_path, "m")
    first.check()
    first.path.write_text(json.dumps({**asdict(ELSEWHERE), "token": "x"}))
    with pytest.raises(FailedPreconditionError, match="lock m: lost"):
        first.check()
    os.utime(first.path, (0, 0))
    second = take(tmp_path, "m")
    with pytest.raises(FailedPreconditionError, match="lock m: lost"):
        first.check()
    first.release()
    second.check()
    assert not is_free(tmp_path)
    second.release()
    assert is_free(tmp_path)


# ---- odd file systems


def test_the_clock_of_the_disk_counts_and_not_that_of_the_machine(tmp_path, monkeypatch):
    held_by(tmp_path, ELSEWHERE, STALE_S - 10)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert not is_free(tmp_path)


def test_it_works_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    test_of_many_that_take_it_at_once_one_does(tmp_path)
    with locked(tmp_path, "n"):
        assert not is_free(tmp_path, "n")
    assert is_free(tmp_path, "n")


def test_an_answer_that_was_lost_makes_our_own_lock_not_anothers(tmp_path, monkeypatch):
    link = os.link

    def linked_and_lost(*paths: object) -> None:
        link(*paths)
        raise FileExistsError

    monkeypatch.setattr(os, "link", linked_and_lost)
    with locked(tmp_path, "m"):
        assert not is_free(tmp_path)


def test_another_error_of_the_disk_is_raised_and_leaves_no_mark(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="broken"):
        take(tmp_path, "m")
    assert list((tmp_path / ".locks/m").iterdir()) == []


def test_one_who_looks_while_another_is_faster_has_nothing(tmp_path, monkeypatch):
    link = os.link

    def slow(mark, path) -> None:
        monkeypatch.setattr(os, "link", link)
        assert take(tmp_path, "m")
        link(mark, path)

    monkeypatch.setattr(os, "link", slow)
    assert take(tmp_path, "m") is None
    assert not is_free(tmp_path)


def test_one_who_looks_so_slowly_that_its_number_has_gone_has_nothing(tmp_path, monkeypatch):
    link = os.link
    assert is_free(tmp_path)

    def slow(mark, path) -> None:
        monkeypatch.setattr(os, "link", link)
        assert is_free(tmp_path)
        assert is_free(tmp_path)
        link(mark, path)

    monkeypatch.setattr(os, "link", slow)
    assert take(tmp_path, "m") is None
    assert is_free(tmp_path)


def test_a_cache_that_was_removed_meanwhile_is_no_trouble(tmp_path):
    with locked(tmp_path, "m") as held:
        held.path.unlink()
        held.path.parent.rmdir()
        with pytest.raises(FailedPreconditionError):
            held.check()
    assert is_free(tmp_path)


def test_marks_of_those_who_were_killed_while_they_looked_go(tmp_path):
    held_by(tmp_path, ELSEWHERE, STALE_S + 10)
    folder = tmp_path / ".locks/m"
    (folder / "1").rename(folder / ".killed")
    held_by(tmp_path, this_process())
    (folder / "1").rename(folder / ".alive")
    assert is_free(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".alive", "1"]
    assert holder_of(folder / ".alive")[0] == this_process()
