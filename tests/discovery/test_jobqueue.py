"""Jobs in turn: what touches the same record is done in the order it was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import UnavailableError
from discovery.ids import EndpointId
from discovery.jobqueue import Deed, Job, JobQueue

IDS = [
    EndpointId(namespace="n", component="c", endpoint=endpoint, instance_id=7)
    for endpoint in "abcd"
]
A, B = IDS[:2]


def queue_of(*touched: tuple[EndpointId, ...]) -> JobQueue:
    """A queue whose jobs are numbered from 1."""
    queue = JobQueue()
    assert [queue.add(Job(touches=ids)) for ids in touched] == [*range(1, len(touched) + 1)]
    return queue


def ready(queue: JobQueue) -> list[int]:
    return [number for number, _ in queue.ready()]


def test_a_job_waits_for_those_before_it_that_touch_the_same():
    queue = queue_of((A,), (B,), (A, B), (B,))
    assert ready(queue) == [1, 2]
    queue.end(2)
    assert ready(queue) == [1]
    queue.end(1)
    assert ready(queue) == [3]
    queue.end(3)
    assert ready(queue) == [4]
    queue.end(4)
    assert not queue


def test_a_job_under_way_keeps_its_turns():
    queue = queue_of((A,), (A,))
    queue.sent(1, call=30)
    assert (ready(queue), queue[1].may_be_there) == ([], True)
    assert (queue.is_attempted(1, 30), queue.is_attempted(1, 31)) == (True, False)
    queue.postpone(1, UnavailableError("away"), retry_at=5.0)
    assert (ready(queue), queue.next_due()) == ([1], 5.0)
    assert not queue.is_attempted(1, 30)
    queue.hurry(3.0)
    assert queue.next_due() == 3.0
    queue.hurry(4.0)
    assert queue.next_due() == 3.0
    queue.end(1)
    assert (queue.find(1), queue.is_attempted(1, 30), ready(queue)) == (None, False, [2])


def test_deeds_have_turns_by_subject():
    queue = JobQueue()
    for subject in ("m", "n", "m"):
        queue.add(Job(deed=Deed("claim", {}, subject)))
    assert ready(queue) == [1, 2]


def test_what_is_put_in_a_jobs_place_or_after_it_goes_before_those_that_waited():
    queue = queue_of((A, B), (A,), (B,))
    queue.sent(1, call=30)
    queue.replace(1, Job(touches=(A, B), is_undoing=True))
    queue.add_after(1, Job(touches=(B,), is_reassertion=True))
    assert (ready(queue), queue[1].is_undoing) == ([1], True)
    queue.end(1)
    assert ready(queue) == [2, 4]
    queue.end(4)
    assert ready(queue) == [2, 3]


def test_a_number_is_never_given_twice():
    queue = queue_of((A,), (A,))
    kept = queue.all()[1]
    queue.clear()
    assert not queue
    assert queue.add(Job(touches=(A,))) == 3
    queue.add_as(*kept)
    assert ready(queue) == [3]
    assert [number for number, _ in queue.all()] == [3, 2]
    assert queue.next_due() == float("-inf")


@dataclass
class Asked:
    number: int
    touches: frozenset[int]


@given(st.lists(st.frozensets(st.integers(0, 3), max_size=3), max_size=9), st.randoms())
def test_every_job_has_its_turn_and_none_before_those_it_waits_for(touched, random):
    queue = queue_of(*(tuple(IDS[one] for one in sorted(touches)) for touches in touched))
    waiting = [Asked(number, touches) for number, touches in enumerate(touched, 1)]
    while waiting:
        first = {
            asked.number
            for at, asked in enumerate(waiting)
            if not any(before.touches & asked.touches for before in waiting[:at])
        }
        assert set(ready(queue)) == first
        number = random.choice(sorted(first))
        queue.end(number)
        waiting = [asked for asked in waiting if asked.number != number]
    assert not queue
