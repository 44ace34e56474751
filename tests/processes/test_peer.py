"""Beside the peer system's own runtime, on one etcd: each sees what the other registers."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import struct
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import msgpack
import pytest
import zmq.asyncio

import discovery
from discovery import (
    Added,
    Ended,
    EndpointId,
    EndpointQuery,
    EndpointSpec,
    EventChannelQuery,
    EventChannelSpec,
    EventPublisher,
    EventSubscriber,
    Message,
    ModelConflictError,
    ModelId,
    ModelQuery,
    ModelSpec,
    NatsTransport,
    Removed,
    ZmqTransport,
)
from discovery.keys import format_key
from discovery.wire import encode_record
from tests.cli.ctl import ctl
from tests.support.etcd import Etcd, etcd_server
from tests.support.peer import peer
from tests.support.places import until
from tests.support.processes import (
    DISCOVERYD,
    PATIENCE_S,
    daemon,
    free_ports,
    listening,
    program,
    script,
)
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from discovery import Discovery, Event, Instance, InstanceId, WatchStream
    from tests.support.processes import Program

PLACE = {"namespace": "dyn", "component": "back_end", "endpoint": "gen-1"}
PATH = "dyn.back_end.gen-1"
METRICS = "forward-pass-metrics"
QUERIES = (
    EndpointQuery(namespace="dyn"),
    ModelQuery(namespace="dyn"),
    EventChannelQuery(namespace="dyn"),
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Etcd]:
    with etcd_server(tmp_path) as server:
        yield server


class Eyes:
    """One of our clients, which watches all there is and remembers what it was told."""

    def __init__(self, d: Discovery) -> None:
        self.d = d
        self.events: list[Event] = []
        self._streams: list[WatchStream] = []

    async def open(self, stack: AsyncExitStack) -> None:
        for query in QUERIES:
            stream = await stack.enter_async_context(self.d.watch(query))
            await stream.synced()
            await stack.enter_async_context(running(self._note(stream)))
            self._streams.append(stream)

    async def _note(self, stream: WatchStream) -> None:
        async for event in stream:
            self.events.append(event)

    @property
    def view(self) -> dict[InstanceId, Instance]:
        return {key: one for stream in self._streams for key, one in stream.instances.items()}

    @property
    def removed(self) -> list[InstanceId]:
        return [event.id for event in self.events if isinstance(event, Removed)]

    async def listed(self) -> dict[InstanceId, Instance]:
        return {one.id: one for query in QUERIES for one in await self.d.list(query)}

    async def reached(self, revision: int) -> None:
        for stream in self._streams:
            await stream.reached(revision)

    async def unreadable(self) -> Mapping[str, str]:
        return (await self.d.status())["unreadable"]


@asynccontextmanager
async def ours(etcd: Etcd, *flags: str) -> AsyncGenerator[tuple[str, Eyes, Eyes]]:
    """A daemon on an etcd; gives its URL, a client of it, and one that is on the etcd itself.

    All the time the daemon doubts that leases which it renews have truly ended.
    """
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    always = ("--store", etcd.url, "--lease-recovery-s", "600")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(daemon(port, *always, *flags))
        eyes = []
        for way in (url, etcd.url):
            eyes.append(Eyes(await stack.enter_async_context(discovery.connect(way))))
            await eyes[-1].open(stack)
        yield url, *eyes


async def all_see(eyes: Sequence[Eyes], ids: set[InstanceId]) -> None:
    """Wait until exactly `ids` are in every view, and hold the lists against that."""
    try:
        await until(lambda: all(one.view.keys() == ids for one in eyes))
    except TimeoutError:
        raise AssertionError(f"{[set(one.view) for one in eyes]}, not {ids}") from None
    for one in eyes:
        assert (await one.listed()).keys() == ids


async def stored(etcd: Etcd) -> dict[str, bytes]:
    """All records, as another client than ours reads them."""
    found = await asyncio.to_thread(etcd.witness.range, "v1/", prefix=True)
    return {kv.key.decode(): kv.value for kv in found.kvs or ()}


async def head(etcd: Etcd) -> int:
    """The revision that etcd is at."""
    return (await asyncio.to_thread(etcd.witness.range, "v1/")).header.revision


async def put(etcd: Etcd, key: str, value: bytes) -> int:
    """Write a record as nobody should; return the revision of that."""
    return (await asyncio.to_thread(etcd.witness.put, key, value)).header.revision


async def delete(etcd: Etcd, key: str) -> int:
    return (await asyncio.to_thread(etcd.witness.delete_range, key)).header.revision


async def do(theirs: Program, *words: str) -> str | None:
    """Have the peer do something; return what it raised."""
    theirs.tell(*words)
    return (await theirs.hear())["error"]


async def serve(theirs: Program, *watching: Eyes) -> None:
    theirs.tell("serve", PATH)
    await until(lambda: all(one.view for one in watching))


def worker(d: Discovery) -> EndpointSpec:
    """An endpoint as the peer's workers have it."""
    address = f"127.0.0.1:9/{d.instance_id:x}/{PATH.replace('.', '/')}"
    return EndpointSpec(
        **PLACE, transport={"tcp": address}, device_type="cuda", request_plane_codec="msgpack"
    )


def model(name: str, source: str, endpoint: str = "gen-1") -> ModelSpec:
    card = {"display_name": name, "source_path": source}
    return ModelSpec(**(PLACE | {"endpoint": endpoint}), card=card)


# ---- the peer's, seen by us


async def test_all_that_a_worker_of_the_peers_registers_is_seen_as_it_wrote_it(own):
    async with peer(own) as (theirs, their_id), ours(own) as (_, *eyes):
        await serve(theirs, *eyes)
        assert await do(theirs, "model", PATH, "m", "org/m") is None
        assert await do(theirs, "adapter", PATH, "my/lora", "org/m") is None
        theirs.tell("publish", PATH)
        theirs.tell("announce", PATH)
        await until(lambda: all(len(one.view) == 5 for one in eyes))
        wrote = await stored(own)
        sources = [key for key in wrote if key.startswith("v1/event_sources/")]
        assert len(sources) == 1  # these are not listed, and harm nobody
        del wrote[sources[0]]
        for one in eyes:
            seen = await one.listed()
            assert seen == one.view
            assert {format_key(i, "b"): encode_record(o, "b") for i, o in seen.items()} == wrote
            assert await one.unreadable() == {}
        endpoint = EndpointId(**PLACE, instance_id=their_id)
        assert seen[endpoint].transport == json.loads(wrote[format_key(endpoint)])["transport"]
        assert sorted(
            (one.display_name, one.suffix, one.instance_id)
            for one in await eyes[0].d.list(ModelQuery(namespace="dyn"))
        ) == [("m", None, their_id), ("my/lora", "my_lora", their_id)]


async def test_a_worker_of_the_peers_that_shuts_down_is_removed_at_once(own):
    async with peer(own) as (theirs, their_id), ours(own) as (_, *eyes):
        await serve(theirs, *eyes)
        assert await do(theirs, "model", PATH, "m", "org/m") is None
        await until(lambda: all(len(one.view) == 2 for one in eyes))
        theirs.tell("shutdown")
        await all_see(eyes, set())
        for one in eyes:
            assert [gone.instance_id for gone in one.removed] == [their_id, their_id]


async def test_a_worker_of_the_peers_that_is_killed_is_removed_when_its_lease_ends(own):
    async with peer(own, ttl_s=3) as (theirs, their_id), ours(own) as (_, *eyes):
        await serve(theirs, *eyes)
        assert await do(theirs, "model", PATH, "m", "org/m") is None
        await until(lambda: all(len(one.view) == 2 for one in eyes))
        theirs.send_signal(signal.SIGKILL)
        await theirs.ended()
        assert all(len(one.view) == 2 for one in eyes)
        await all_see(eyes, set())
        for one in eyes:
            assert [gone.instance_id for gone in one.removed] == [their_id, their_id]


async def test_a_model_that_the_peer_takes_back_is_removed_and_its_endpoint_stays(own):
    async with peer(own) as (theirs, their_id), ours(own) as (_, *eyes):
        await serve(theirs, *eyes)
        assert await do(theirs, "model", PATH, "m", "org/m") is None
        await until(lambda: all(len(one.view) == 2 for one in eyes))
        assert await do(theirs, "forget", PATH) is None
        await all_see(eyes, {EndpointId(**PLACE, instance_id=their_id)})


# ---- ours, seen by the peer


async def test_our_endpoints_come_and_go_for_the_peer(own):
    async with peer(own) as (theirs, _), ours(own) as (url, *eyes):
        theirs.tell("look", PATH)
        assert await theirs.hear() == {"sees": {}}
        expected: dict[str, str] = {}
        for one in eyes:
            instance = await one.d.register(worker(one.d))
            expected[str(one.d.instance_id)] = instance.transport["tcp"]
            assert await theirs.hear() == {"sees": expected}
        for one in eyes:
            await one.d.unregister(EndpointId(**PLACE, instance_id=one.d.instance_id))
            del expected[str(one.d.instance_id)]
            assert await theirs.hear() == {"sees": expected}
        for way in (url, own.url):
            async with discovery.connect(way) as d:
                await d.register(worker(d))
                assert list((await theirs.hear())["sees"]) == [str(d.instance_id)]
            assert await theirs.hear() == {"sees": {}}  # its lease was revoked


async def test_a_worker_of_ours_that_is_killed_is_gone_for_the_peer_when_its_lease_ends(own):
    async with peer(own) as (theirs, _), ours(own) as (url, *_):
        theirs.tell("look", "fleet.c.e1")
        for way in (url, own.url):
            await theirs.hear_until(sees={})
            async with program(*script("worker", way, 2, 1)) as dying:
                await dying.hear()
                assert list((await theirs.hear())["sees"].values()) == ["127.0.0.1:1/x"]
                dying.send_signal(signal.SIGKILL)
                await dying.ended()
        await theirs.hear_until(sees={})


async def test_our_records_are_byte_for_byte_as_the_peers(own):
    b = ("--registry-event-generation", "b")
    async with peer(own) as (theirs, their_id), ours(own, *b) as (_, eyes, other):
        await serve(theirs, eyes, other)
        assert await do(theirs, "model", PATH, "m", "org/m") is None
        assert await do(theirs, "adapter", PATH, "my/lora", "org/m") is None
        theirs.tell("publish", PATH)
        await until(lambda: len(eyes.view) == 4)
        wrote = await stored(own)
        copies = [copy_of(theirs_, eyes.d.instance_id) for theirs_ in eyes.view.values()]
        for spec in copies:
            await eyes.d.register(spec)
        as_ours = {
            key.replace(f"{their_id:x}", f"{eyes.d.instance_id:x}"): value.replace(
                f"{their_id:x}".encode(), f"{eyes.d.instance_id:x}".encode()
            ).replace(str(their_id).encode(), str(eyes.d.instance_id).encode())
            for key, value in wrote.items()
        }
        channel = next(key for key in wrote if "event_channels" in key)
        del as_ours[channel]
        above, _, number = channel.rpartition("/")
        twin = int(number, 16) ^ 1
        as_ours[f"{above}/{twin:x}"] = wrote[channel].replace(
            str(int(number, 16)).encode(), str(twin).encode()
        )
        assert {k: v for k, v in (await stored(own)).items() if k not in wrote} == as_ours


def copy_of(instance: Instance, instance_id: int) -> discovery.Spec:
    """The spec of our own twin of what the peer registered."""
    match instance:
        case discovery.EndpointInstance():
            address = instance.transport["tcp"]
            address = address.replace(f"{instance.instance_id:x}", f"{instance_id:x}")
            return EndpointSpec(
                **PLACE,
                transport={"tcp": address},
                device_type=instance.device_type,
                request_plane_codec=instance.request_plane_codec,
            )
        case discovery.ModelInstance():
            return ModelSpec(**PLACE, card=instance.card, suffix=instance.suffix)
        case discovery.EventChannelInstance():
            return EventChannelSpec(
                **PLACE,
                topic=instance.topic,
                transport=instance.transport,
                instance_id=instance.instance_id ^ 1,
            )


# ---- one model per endpoint


async def test_ours_is_refused_where_the_peers_is_and_the_refusal_names_it(own):
    async with peer(own) as (theirs, _), ours(own) as (_, *eyes):
        assert await do(theirs, "model", PATH, "theirs", "org/theirs") is None
        for one in eyes:
            with pytest.raises(ModelConflictError) as refused:
                await one.d.register(model("ours", "org/ours"))
            assert (refused.value.incumbent, refused.value.incumbent_count) == ("theirs", 1)
            assert refused.value.endpoint == "dyn/back_end/gen-1"
        assert [
            json.loads(v)["card_json"]["display_name"] for v in (await stored(own)).values()
        ] == ["theirs"]
        assert await do(theirs, "forget", PATH) is None
        await eyes[0].d.register(model("ours", "org/ours"))


async def test_the_peers_is_refused_by_its_own_check_where_ours_is(own):
    async with peer(own) as (theirs, _), ours(own) as (_, *eyes):
        for one in eyes:
            instance = await one.d.register(model("ours", "org/ours"))
            assert await do(theirs, "model", PATH, "theirs", "org/theirs") == (
                "Cannot register model 'theirs' on endpoint 'dyn/back_end/gen-1': "
                "a different model 'ours' is already registered there"
            )
            await all_see(eyes, {instance.id})
            await one.d.unregister(instance)
        assert await do(theirs, "model", PATH, "theirs", "org/theirs") is None


async def test_compatible_ones_of_both_stand_beside_each_other(own):
    async with peer(own) as (one, id_1), peer(own) as (two, id_2), ours(own) as (_, *eyes):
        assert await do(one, "model", PATH, "m", "org/m") is None
        for us in eyes:
            await us.d.register(model("m", "/mnt/m"))  # the same name from another place
        assert await do(two, "model", PATH, "m", "org/m") is None
        assert await do(two, "adapter", PATH, "lora", "org/m") is not None  # not of /mnt/m
        owners = {id_1, id_2, *(us.d.instance_id for us in eyes)}
        await until(lambda: all(len(us.view) == 4 for us in eyes))
        for us in eyes:
            assert {found.instance_id for found in us.view.values()} == owners


async def test_an_unguarded_one_of_the_peers_stays_unseen_until_ours_has_gone(own):
    async with ours(own) as (_, *eyes):
        for one in eyes:
            mine = await one.d.register(model("ours", "org/ours"))
            await all_see(eyes, {mine.id})
            key = format_key(mine.id).replace(f"{mine.instance_id:x}", "abc")
            twin = ModelSpec(**PLACE, card={"display_name": "later"}).instance(0xABC)
            revision = await put(own, key, encode_record(twin))
            for each in eyes:
                await each.reached(revision)
            await all_see(eyes, {mine.id})
            assert await one.unreadable() == {}
            with pytest.raises(ModelConflictError):  # it is not seen, but it is there
                await other_than(one, eyes).d.register(model("third", "org/third"))
            await one.d.unregister(mine)
            await all_see(eyes, {twin.id})
            await delete(own, key)
            await all_see(eyes, set())
        for one in eyes:
            assert never_two(one.events)


async def test_another_name_of_one_source_which_the_peer_allows_stays_unseen_too(own):
    """The peer's newest rule lets it stand beside ours; ours is the older one, by the name."""
    async with peer(own) as (theirs, their_id), ours(own) as (_, *eyes):
        mine = await eyes[0].d.register(model("ours", "org/m"))
        assert await do(theirs, "model", PATH, "alias", "org/m") is None
        assert len(await stored(own)) == 2
        for each in eyes:
            await each.reached(await head(own))
        await all_see(eyes, {mine.id})
        await eyes[0].d.unregister(mine)
        await all_see(eyes, {ModelId(**PLACE, instance_id=their_id)})
        assert all(never_two(each.events) for each in eyes)


def other_than(one: Eyes, eyes: Sequence[Eyes]) -> Eyes:
    return next(each for each in eyes if each is not one)


def never_two(events: Sequence[Event]) -> bool:
    """Whether a reader who took one event at a time never saw two names at one endpoint."""
    shown: dict[InstanceId, Instance] = {}
    for event in events:
        match event:
            case Added():
                shown[event.instance.id] = event.instance
            case Removed():
                del shown[event.id]
        names: dict[tuple[str, ...], set[str]] = {}
        for one in shown.values():
            if isinstance(one, discovery.ModelInstance):
                names.setdefault(one.id.path, set()).add(one.display_name)
        if any(len(found) > 1 for found in names.values()):
            return False
    return True


async def test_of_ours_and_the_peers_that_race_one_wins_and_the_loser_is_never_seen(own):
    rng = random.Random(5)
    async with peer(own) as (theirs, their_id), ours(own) as (_, *eyes):
        for number in range(40):
            place = f"race{number}"
            d = eyes[number % 2].d
            theirs.tell("model", f"dyn.back_end.{place}", "theirs", "org/theirs")
            await asyncio.sleep(rng.uniform(0.0, 0.004))  # not to wait for anything, but to differ
            refused = await refusal(d.register(model("ours", "org/ours", place)))
            assert refused is None or refused.incumbent == "theirs"
            we_won = refused is None
            assert ((await theirs.hear())["error"] is None) != we_won, number
            winner = d.instance_id if we_won else their_id
            left = [key for key in await stored(own) if f"/{place}/" in key]
            assert left == [f"v1/mdc/dyn/back_end/{place}/{winner:x}"]
        await until(lambda: all(len(one.view) == 40 for one in eyes))
        for one in eyes:
            added = [event for event in one.events if isinstance(event, Added)]
            assert len(added) == 40
            assert one.removed == []


async def refusal(registering: Awaitable[Instance]) -> ModelConflictError | None:
    try:
        await registering
    except ModelConflictError as error:
        return error
    return None


# ---- what is malformed


def endpoint_record(instance_id: object = 1, **fields: object) -> bytes:
    record = {"type": "Endpoint", **PLACE, "instance_id": instance_id} | {
        "transport": {"tcp": "h:1"}
    }
    return json.dumps(record | fields, indent=1).encode()


ENDPOINTS = "v1/instances/dyn/back_end/gen-1"
CARD = {"type": "Model", **PLACE, "instance_id": 0x20}
READABLE = {  # by what the peer does, and DESIGN §4: spec §1.3
    f"{ENDPOINTS}/1": (endpoint_record(1, weight=3), 1),
    f"{ENDPOINTS}/2": (endpoint_record(2, device_type=None), 2),
    f"{ENDPOINTS}/0D": (endpoint_record(13), 13),
}
UNREADABLE = {
    f"{ENDPOINTS}/a1": (b"not json", "is not JSON"),
    f"{ENDPOINTS}/a2": (b'{"instance_id":162}', "type"),
    f"{ENDPOINTS}/a3": (endpoint_record(0xA3, type="VeloPeer"), "VeloPeer"),
    f"{ENDPOINTS}/a4": (endpoint_record(11), "the key asks for 164"),
    f"{ENDPOINTS}/a5": (endpoint_record("165"), "instance_id '165' is wrong"),
    f"{ENDPOINTS}/a6": (endpoint_record(0xA6, component="other"), "component 'other' is wrong"),
    f"{ENDPOINTS}/a7/extra": (endpoint_record(0xA7), "expected 4 parts"),
    f"{ENDPOINTS}/a8": (endpoint_record(0xA8, device_type="tpu"), "device_type 'tpu' is unknown"),
    "v1/mdc/dyn/back_end/gen-1/20": (json.dumps(CARD | {"card_json": {}}).encode(), "display_name"),
    "v1/event_channels/dyn/back_end/kv-events/30": (b"[]", "must be a JSON object"),
}


async def test_malformed_records_are_skipped_counted_named_and_leave_no_ghost(own):
    async with ours(own) as (url, *eyes):
        for key, (value, _) in (READABLE | UNREADABLE).items():
            await put(own, key, value)
        ids = {EndpointId(**PLACE, instance_id=number) for _, number in READABLE.values()}
        await all_see(eyes, ids)
        for one in eyes:
            found = await unreadable(one, UNREADABLE)
            assert [key for key, (_, why) in UNREADABLE.items() if why not in found[key]] == []
        findings = await doctors(url)
        assert [f["found"].partition(": ")[0] for f in findings] == sorted(UNREADABLE)
        assert {f["verdict"] for f in findings} == {"warn"}
        for key in READABLE | UNREADABLE:
            await delete(own, key)
        await all_see(eyes, set())
        for one in eyes:
            await unreadable(one, ())
            assert set(one.removed) == ids
        assert [f["verdict"] for f in await doctors(url)] == ["ok"]


async def unreadable(one: Eyes, keys: Collection[str]) -> Mapping[str, str]:
    """Wait until these keys are those that cannot be read; return why."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await one.unreadable()).keys() != set(keys):
            await asyncio.sleep(0.02)
    return found


async def doctors(url: str) -> list[dict]:
    """What `discoveryctl doctor` finds of records that cannot be read."""
    _, out, err = await ctl(url, "doctor")
    assert err == ""
    rows = map(json.loads, out.splitlines())
    return [row for row in rows if row["check"] == "unreadable"]


async def test_a_record_that_is_overwritten_with_garbage_goes_and_is_no_ghost(own):
    key, ids = f"{ENDPOINTS}/1", {EndpointId(**PLACE, instance_id=1)}
    async with ours(own) as (_, *eyes):
        await put(own, key, endpoint_record(1))
        await all_see(eyes, ids)
        await put(own, key, b"garbage")
        await all_see(eyes, set())
        await put(own, key, endpoint_record(1))
        await all_see(eyes, ids)
        await delete(own, key)
        await all_see(eyes, set())


# ---- event channels


async def test_a_publisher_of_the_peers_is_found_and_heard_by_us(own):
    async with peer(own) as (theirs, _), ours(own) as (_, *eyes):
        theirs.tell("publish", PATH)
        await until(lambda: all(one.view for one in eyes))
        (channel,) = eyes[0].view.values()
        assert (channel.topic, channel.id.path[:-1]) == (METRICS, tuple(PLACE.values()))
        assert channel.generation == "b"
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as ear:
            ear.linger = 0
            ear.subscribe(METRICS)
            ear.connect(channel.transport.endpoint)
            async with asyncio.timeout(PATIENCE_S):  # idle, it sends one a second
                topic, publisher, sequence, frame = await ear.recv_multipart()
        (number,) = struct.unpack(">Q", publisher)
        assert (topic.decode(), number, len(sequence)) == (METRICS, channel.instance_id, 8)
        version, length = struct.unpack(">BI", frame[:5])
        assert (version, length) == (1, len(frame) - 5)
        envelope = msgpack.unpackb(frame[5:])
        assert (envelope["publisher_id"], envelope["topic"]) == (number, METRICS)
        assert msgpack.unpackb(envelope["payload"])["worker_id"] == "w"
        theirs.tell("shutdown")
        await all_see(eyes, set())


async def test_a_channel_of_ours_is_found_by_the_peers_subscriber_which_hears_it(own):
    b = ("--registry-event-generation", "b")
    async with peer(own) as (theirs, _), ours(own, *b) as (_, eyes, other):
        theirs.tell("hear", PATH)
        with zmq.asyncio.Context() as context, context.socket(zmq.XPUB) as mouth:
            mouth.linger = 0
            port = mouth.bind_to_random_port("tcp://127.0.0.1")
            channel = await eyes.d.register(
                EventChannelSpec(
                    **PLACE,
                    topic=METRICS,
                    transport=ZmqTransport(endpoint=f"tcp://127.0.0.1:{port}"),
                    instance_id=0x1234567890ABC,
                )
            )
            await all_see((eyes, other), {channel.id})
            async with asyncio.timeout(PATIENCE_S):
                assert await mouth.recv() == b"\x01" + METRICS.encode()
            for number in range(3):
                await mouth.send_multipart(
                    frames(channel.instance_id, number, b"event %d" % number)
                )
                heard = await theirs.hear()
                assert bytes.fromhex(heard["heard"]) == b"event %d" % number
            await eyes.d.unregister(channel)
            async with asyncio.timeout(PATIENCE_S):
                assert await mouth.recv() == b"\x00" + METRICS.encode()


def frames(publisher: int, sequence: int, payload: bytes) -> list[bytes]:
    """A message of the peer's event plane: spec §5.2."""
    envelope = msgpack.packb(
        {
            "publisher_id": publisher,
            "sequence": sequence,
            "published_at": int(time.time() * 1000),
            "topic": METRICS,
            "payload": payload,
        }
    )
    return [
        METRICS.encode(),
        struct.pack(">Q", publisher),
        struct.pack(">Q", sequence),
        struct.pack(">BI", 1, len(envelope)) + envelope,
    ]


async def test_our_publisher_is_heard_by_the_peers_subscriber_and_its_end_is_not(own):
    b = ("--registry-event-generation", "b")
    async with peer(own) as (theirs, _), ours(own, *b) as (_, eyes, _):
        theirs.tell("hear", PATH)
        for round_ in ("first", "second"):  # between them is the word that the first one ends
            async with EventPublisher(eyes.d, topic=METRICS, **PLACE) as p:
                assert p.channel.transport.endpoint.startswith("tcp://127.0.0.1:")
                async with asyncio.timeout(PATIENCE_S):
                    await p.subscribed()
                sent = [f"{round_} {number}".encode() for number in range(100)]
                for payload in sent:
                    await p.publish(payload)
                assert [bytes.fromhex((await theirs.hear())["heard"]) for _ in sent] == sent


async def test_our_subscriber_hears_the_peers_publisher(own):
    async with peer(own) as (theirs, _), ours(own) as (_, eyes, _):
        async with EventSubscriber(eyes.d, topic=METRICS, **PLACE) as s:
            theirs.tell("publish", PATH)
            async with asyncio.timeout(PATIENCE_S):
                joined, first, second = [await anext(s) for _ in range(3)]
            assert {joined.publisher_id, first.publisher_id} == {second.publisher_id}
            assert second.sequence == first.sequence + 1
            assert abs(second.published_at_ms - time.time() * 1000) < 60_000
            assert msgpack.unpackb(second.payload)["worker_id"] == "w"
            theirs.tell("shutdown")
            async with asyncio.timeout(PATIENCE_S):
                items = [await anext(s)]
                while not isinstance(items[-1], Ended):
                    items.append(await anext(s))
            assert items[-1] == Ended(first.publisher_id, None)
            counters = s.counters.publishers[first.publisher_id]
            assert (counters.lost, counters.undecodable) == (0, 0)


async def test_over_nats_our_publisher_is_heard_by_the_peers_subscriber(own, nats):
    b, way = ("--registry-event-generation", "b"), {"transport": "nats", "nats": nats.url}
    async with (
        peer(own, DYN_EVENT_PLANE="nats", NATS_SERVER=nats.url) as (theirs, _),
        ours(own, *b) as (_, eyes, _),
    ):
        theirs.tell("hear", PATH)
        for round_ in (b"first", b"second"):  # between them is the word that the first one ends
            async with EventPublisher(eyes.d, topic=METRICS, **PLACE, **way) as p:
                hearing = asyncio.create_task(theirs.hear())
                async with asyncio.timeout(PATIENCE_S):
                    while not hearing.done():  # NATS does not tell when it has subscribed
                        await p.publish(b"again")
                        await asyncio.wait([hearing], timeout=0.2)
                sent = [round_ + b" %d" % number for number in range(100)]
                for payload in sent:
                    await p.publish(payload)
                heard = []
                while len(heard) < len(sent):
                    payload = bytes.fromhex((await theirs.hear())["heard"])
                    heard += [payload] * (payload != b"again")
                assert heard == sent


async def test_over_nats_our_subscriber_hears_the_peers_publisher(own, nats):
    async with (
        peer(own, DYN_EVENT_PLANE="nats", NATS_SERVER=nats.url) as (theirs, _),
        ours(own) as (_, eyes, _),
    ):
        async with EventSubscriber(eyes.d, topic=METRICS, **PLACE, nats=nats.url) as s:
            theirs.tell("publish", PATH)
            items = []
            async with asyncio.timeout(PATIENCE_S):
                while sum(isinstance(item, Message) for item in items) < 2:
                    items.append(await anext(s))
            first, second = [item for item in items if isinstance(item, Message)]
            assert (second.publisher_id, second.sequence) == (
                first.publisher_id,
                first.sequence + 1,
            )
            assert msgpack.unpackb(second.payload)["worker_id"] == "w"
            (channel,) = eyes.view.values()
            assert isinstance(channel.transport, NatsTransport)
            theirs.tell("shutdown")
            async with asyncio.timeout(PATIENCE_S):
                while not isinstance(items[-1], Ended):
                    items.append(await anext(s))
            counters = s.counters.publishers[first.publisher_id]
            assert (counters.lost, counters.undecodable) == (0, 0)


@asynccontextmanager
async def broker(url: str) -> AsyncGenerator[str]:
    """A broker of ours; gives what the peer is to be told of it."""
    port = free_ports()
    xsub, xpub = f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
    flags = {
        "role": "broker",
        "broker-registry": url,
        "broker-namespace": "dyn",
        "broker-publishers": f"zmq://{xsub}",
        "broker-subscribers": f"zmq://{xpub}",
        "log-level": "warning",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    async with program(*DISCOVERYD, *words):
        await listening(port)
        yield f"xsub=tcp://{xsub} , xpub=tcp://{xpub}"


async def test_the_peer_and_we_hear_each_other_through_a_broker_of_ours(own):
    b = ("--registry-event-generation", "b")
    async with ours(own, *b) as (url, eyes, _), broker(url) as told:
        await until(lambda: eyes.view)
        async with peer(own, DYN_ZMQ_BROKER_URL=told) as (theirs, _):
            async with EventSubscriber(eyes.d, topic=METRICS, **PLACE) as s:
                theirs.tell("publish", PATH)
                async with asyncio.timeout(PATIENCE_S):
                    joined, first = [await anext(s) for _ in range(2)]
                assert joined.publisher_id == first.publisher_id
                assert msgpack.unpackb(first.payload)["worker_id"] == "w"
            # Another endpoint's, so that the word of a subscriber is not of the one above.
            theirs.tell("hear", "dyn.back_end.gen-2")
            way = {"topic": METRICS, "transport": "zmq-broker"} | PLACE | {"endpoint": "gen-2"}
            async with EventPublisher(eyes.d, **way) as p:
                async with asyncio.timeout(PATIENCE_S):
                    await p.subscribed()
                await p.publish(b"by broker")
                await theirs.hear_until(heard=b"by broker".hex())
