"""Workers of the small fleet: they register, change their minds, keep alive, stop and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.events import Cause
from tests.support.keystate import endpoint_key, model_key, name_of, scope_of, within

if TYPE_CHECKING:
    from tests.support.world import World

TTL_S = 6.0


class Worker:
    """One process with a lease. What it registers obeys the conflict rule."""

    def __init__(self, world: World, owner: int) -> None:
        self.world, self.owner = world, owner
        self.wanted: dict[str, str] = {}
        self.wanted_since: dict[str, float] = {}
        self.is_alive, self.is_paused = True, False
        self.back_at = -100.0
        world.at(world.rng.uniform(0, 2), self.tick)

    @property
    def is_loyal(self) -> bool:
        """It lives, and has had the time to say so."""
        is_running = self.is_alive and not self.is_paused
        return is_running and self.world.now - self.back_at > TTL_S / 3 + 1

    def was_wronged(self, key: str) -> bool:
        """Say whether nothing but a mistake can have made `key` go."""
        since = self.wanted_since.get(key, self.world.now)
        is_old = since < self.world.now - 3
        return self.is_loyal and is_old and key not in self.world.lost_on_purpose

    # ---- life

    def tick(self) -> None:
        world, rng = self.world, self.world.rng
        if not self.is_alive:
            return
        next_s = TTL_S / 3 * rng.uniform(0.7, 1)
        if not self.is_paused:
            if any(daemon.is_serving for daemon in world.daemons):
                self._keep_alive()
                if not world.is_calm:
                    for _ in range(rng.choice((0, 1, 1, 2, 3))):
                        self._change()
            else:
                next_s = rng.uniform(0.1, 0.6)
        world.at(next_s, self.tick)

    def crash(self) -> None:
        self.is_alive = False
        if self.world.rng.random() < 0.6:
            self.world.at(self.world.rng.uniform(1, 8), self.reborn)

    def reborn(self) -> None:
        if not any(daemon.is_serving for daemon in self.world.daemons):
            self.world.at(0.5, self.reborn)
            return
        self.world.store.leases.pop(self.owner, None)
        gone = dict.fromkeys(self.world.store.keys_of(self.owner))
        self.world.commit(gone, owner=self.owner, cause=Cause.REVOKED)
        self.wanted, self.wanted_since = {}, {}
        self.is_alive, self.back_at = True, self.world.now
        self.tick()

    def pause(self) -> None:
        self.is_paused = True
        self.world.at(self.world.rng.uniform(1, TTL_S + 3), self.resume)

    def resume(self) -> None:
        self.is_paused, self.back_at = False, self.world.now

    def _keep_alive(self) -> None:
        store = self.world.store
        is_new = self.owner not in store.leases
        store.leases[self.owner] = self.world.now + TTL_S
        if is_new:
            for key in [key for key in self.wanted if not self._may_have(key, self.wanted[key])]:
                self._give_up(key)
            self.world.commit(dict(self.wanted), owner=self.owner)

    # ---- changes

    def _change(self) -> None:
        rng = self.world.rng
        kind = rng.random()
        if kind < 0.35 or not self.wanted:
            self._register(rng.choice((1, 2, 3)))
            return
        key = rng.choice(sorted(self.wanted))
        text = self._text(key)
        if kind < 0.55:  # an upsert, now and then of another name
            if self._may_have(key, text):
                self._put({key: text})
        elif kind < 0.75:
            self._give_up(key)
            self._delete({key: None})
        elif kind < 0.9:  # out and in again
            self._delete({key: None})
            if self._may_have(key, text):
                self._put({key: text})
            else:
                self._give_up(key)
        else:  # one commit: some out, some in
            self._give_up(key)
            new = endpoint_key(self.world.place(), self.owner)
            self._want(new, text)
            self.world.commit({key: None, new: text}, owner=self.owner, cause=Cause.UNREGISTERED)

    def _register(self, places: int) -> None:
        texts: dict[str, str | None] = {}
        for _ in range(places):
            place = self.world.place()
            key = endpoint_key(place, self.owner)
            texts[key] = self._text(key)
        key = model_key(self.world.place(), self.owner)
        text = self._text(key)
        if self.world.rng.random() < 0.7 and self._may_have(key, text):
            texts[key] = text
        self._put(texts)

    def _text(self, key: str) -> str:
        """Return a value, of a model the name that its endpoint has, most often."""
        number = f"{self.owner}.{self.world.rng.randrange(10_000)}"
        if scope_of(key)[0] != "models":
            return number
        others = within(self.world.store.entries, scope_of(key)).values()
        names = sorted({name_of(entry) for entry in others})
        is_new = not names or self.world.rng.random() < 0.3
        return f"{self.world.rng.choice('ABC') if is_new else names[0]}#{number}"

    def _may_have(self, key: str, text: str) -> bool:
        """The registry's rule: a model must suit every other on its endpoint."""
        if scope_of(key)[0] != "models":
            return True
        others = within(self.world.store.entries, scope_of(key))
        return all(name_of(e) == text.partition("#")[0] for k, e in others.items() if k != key)

    def _put(self, texts: dict[str, str | None]) -> None:
        for key, text in texts.items():
            assert text is not None
            self._want(key, text)
        self.world.commit(texts, owner=self.owner)

    def _want(self, key: str, text: str) -> None:
        self.wanted[key] = text
        self.wanted_since.setdefault(key, self.world.now)

    def _delete(self, texts: dict[str, str | None]) -> None:
        self.world.commit(texts, owner=self.owner, cause=Cause.UNREGISTERED)

    def _give_up(self, key: str) -> None:
        del self.wanted[key]
        del self.wanted_since[key]
