"""Publishes events, or reads them, as it is told. usage: events.py URL PLACE; stdin:

publisher NAME TRANSPORT      enter a publisher; says its id
subscribed NAME COUNT         wait for subscriptions
publish NAME COUNT SIZE       publish so many
leave NAME                    leave it
subscriber NAME MAX_ITEMS     enter a subscriber
stall SECONDS                 block the loop for so long, and then until another line comes
read NAME ENDED               read until so many publishers have ended; says a summary
kill                          die, without a word
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict

import discovery
from discovery import Ended, EventCounters, EventPublisher, EventSubscriber, Lost, Message

TOPIC = "kv-events"


async def main(url: str, namespace: str) -> None:  # noqa: C901 - a case for each line
    place = {"topic": TOPIC, "namespace": namespace, "component": "comp"}
    publishers: dict[str, EventPublisher] = {}
    subscribers: dict[str, EventSubscriber] = {}
    taken: dict[str, Counter[int]] = {}
    async with discovery.connect(url) as d, AsyncExitStack() as stack:
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            match words:
                case ["publisher", name, transport]:
                    made = EventPublisher(d, **place, transport=transport)
                    publishers[name] = await stack.enter_async_context(made)
                    say(publisher=name, id=publishers[name].publisher_id)
                case ["subscribed", name, count]:
                    await publishers[name].subscribed(int(count))
                    say(subscribed=name)
                case ["publish", name, count, size]:
                    for _ in range(int(count)):
                        await publishers[name].publish(bytes(int(size)))
                    say(published=name, sent=publishers[name].sent)
                case ["leave", name]:
                    await publishers.pop(name).aclose()
                    say(left=name)
                case ["subscriber", name, max_items]:
                    made = EventSubscriber(d, **place, max_items=int(max_items))
                    subscribers[name] = await stack.enter_async_context(made)
                    await subscribers[name].synced()
                    taken[name] = Counter()
                    say(subscriber=name)
                case ["stall", seconds]:
                    time.sleep(float(seconds))
                    sys.stdin.readline()
                    say(stalled=seconds)
                case ["read", name, ended]:
                    say(read=name, **await read(subscribers[name], int(ended), taken[name]))
                case ["kill"]:
                    os.kill(os.getpid(), signal.SIGKILL)


async def read(subscriber: EventSubscriber, ended: int, taken: Counter[int]) -> dict[str, object]:
    got: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    late: Counter[int] = Counter()
    ends: dict[int, int | None] = {}
    newest: dict[int, int] = {}
    async for item in subscriber:
        match item:
            case Message():
                got[item.publisher_id] += 1
                taken[item.publisher_id] += 1
                late[item.publisher_id] += newest.get(item.publisher_id, -1) >= item.sequence
                newest[item.publisher_id] = max(newest.get(item.publisher_id, 0), item.sequence)
            case Lost():
                lost[item.publisher_id] += item.last - item.first + 1
                newest[item.publisher_id] = max(newest.get(item.publisher_id, 0), item.last)
            case Ended():
                ends[item.publisher_id] = item.sent
                ended -= 1
        if ended <= 0:
            counters = subscriber.counters.publishers
            if not under_way(counters, taken):
                break
    return {
        "got": {str(key): count for key, count in got.items()},
        "lost": {str(key): count for key, count in lost.items()},
        "ends": {str(key): sent for key, sent in ends.items()},
        "late": {str(key): count for key, count in late.items()},
        "newest": {str(key): sequence for key, sequence in newest.items()},
        "counters": {str(key): asdict(one) for key, one in counters.items()},
    }


def under_way(counters: Mapping[int, EventCounters], taken: Counter[int]) -> int:
    """How many events have come that were not read: some may come after the word of the end."""
    return sum(one.received - one.dropped - taken[key] for key, one in counters.items())


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


asyncio.run(main(*sys.argv[1:]))
