from __future__ import annotations

import random

from discovery.asking import Asking
from discovery.protocol import SyncRequest
from tests.support.records import ENDPOINTS


def request(number: int) -> SyncRequest:
    return SyncRequest(number, ENDPOINTS, None, 0)


def test_one_request_is_under_way_until_it_is_answered() -> None:
    asking = Asking(random.Random(1))
    asking.start(request(1), 5.0)
    assert (asking.is_for(1), asking.is_for(2), asking.asked_at) == (True, False, 5.0)
    asking.done()
    assert (asking.is_for(1), asking.failures, asking.last_number) == (False, 0, 1)


def test_a_failure_puts_the_next_one_off_and_a_little_longer_each_time_up_to_a_bound() -> None:
    asking = Asking(random.Random(1))
    waits = []
    for number in range(1, 400):
        asking.start(request(number), 0.0)
        asking.fail(7.0, 0.0)
        waits.append(asking.ask_at)
    assert asking.failures == 399
    assert 7.0 <= waits[0] <= 7.2
    assert 8.5 < max(waits) <= 9.0


def test_being_told_when_to_come_back_is_no_failure() -> None:
    asking = Asking(random.Random(1))
    asking.start(request(1), 0.0)
    asking.fail(0.0, 60.0)
    assert (asking.request, asking.failures) == (None, 0)
    assert 60.0 <= asking.ask_at <= 60.2


def test_another_daemon_is_asked_at_once() -> None:
    asking = Asking(random.Random(1))
    asking.start(request(1), 0.0)
    asking.fail(0.0, 60.0)
    asking.start_over(1.0)
    assert (asking.request, asking.failures, asking.ask_at) == (None, 0, 1.0)
