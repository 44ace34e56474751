"""Registers the model it is told to, where it is told to, and says how that ended.

usage: contender.py URL NAME; stdin: "race ENDPOINT" or "clear".
"""

import asyncio
import json
import sys

import discovery


async def main(url: str, name: str) -> None:
    held = []
    async with discovery.connect(url) as d:
        say(ready=name)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            if words[0] == "race":
                place = {"namespace": "race", "component": "c", "endpoint": words[1]}
                spec = discovery.ModelSpec(**place, card={"display_name": name})
                try:
                    held.append(await d.register(spec))
                    say(won=name)
                except discovery.ModelConflictError as error:
                    say(lost=name, to=error.incumbent)
            else:
                for instance in held:
                    await d.unregister(instance)
                held.clear()
                say(cleared=name)


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


asyncio.run(main(*sys.argv[1:]))
