"""`discovery.connect("etcd://…")`: no daemon, and everything on the process's I/O thread."""

from __future__ import annotations

import time

import grpc.aio

import discovery
from discovery import EndpointQuery, EndpointSpec, StreamState
from discovery.stores.etcd import etcd_pb2 as pb

TTL_S = 2.0


async def test_a_lease_is_kept_while_the_application_blocks_and_uses_grpc_itself(etcd):
    url = etcd.own_url()
    async with (
        grpc.aio.insecure_channel(etcd.endpoint) as channel,
        discovery.connect(url, lease_ttl_s=TTL_S) as worker,
        discovery.connect(url) as router,
        router.watch(EndpointQuery()) as stream,
    ):
        ask = channel.unary_unary(
            "/etcdserverpb.Maintenance/Status",
            request_serializer=pb.StatusRequest.SerializeToString,
            response_deserializer=pb.StatusResponse.FromString,
        )
        place = {"namespace": "n", "component": "c", "endpoint": "e"}
        made = await worker.register(EndpointSpec(**place, transport={"tcp": "h:1/x"}))
        await stream.synced()
        assert (await ask(pb.StatusRequest())).version
        time.sleep(2 * TTL_S)  # noqa: ASYNC251 - as an application that loads its weights does
        assert (await ask(pb.StatusRequest())).version
        assert [one.id for one in await router.list(EndpointQuery())] == [made.id]
        assert worker._here.session.losses == 0
        assert list(stream.instances) == [made.id]
        assert stream.state is StreamState.LIVE
        assert worker.failures == ()
