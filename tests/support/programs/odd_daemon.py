"""discoveryd with something wrong that the doctor is to find. usage: odd_daemon.py ODDITY FLAGS…"""

import asyncio
import sys

from discovery import core, service
from discovery.clock import now_ms
from discovery.core import Core
from discovery.daemon import main
from discovery.service import Service
from discovery.store import Put
from discovery.stores.memory import MemoryStore

enter, status, handler = Core.__aenter__, Service._status, Core.handler


async def with_a_foreign_record(self):
    await enter(self)
    put = Put("v1/instances/prod/vllm/generate/77", b"who wrote this?")
    await self.store.commit([put], [])
    return self


async def ahead_by_90_s(self, fields):
    return {**await status(self, fields), "now_ms": now_ms() + 90_000}


async def half_a_second_later(self, fields):
    await asyncio.sleep(0.5)
    return await status(self, fields)


match sys.argv.pop(1):
    case "unreadable":
        Core.__aenter__ = with_a_foreign_record
    case "version":
        core._VERSION = "0.0.1"
    case "protocol":
        service.PROTOCOL = 2
    case "clock":
        Service._status = ahead_by_90_s
    case "slow":
        Service._status = half_a_second_later
    case "store":
        MemoryStore.age_s = lambda _: 60.0
    case "events":
        Core.handler = lambda self, _: handler(self, "zmq://127.0.0.1:1")
sys.exit(main())
