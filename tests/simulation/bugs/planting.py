"""How a bug is planted into the real code, and taken out again. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ABSENT = object()


class Patch:
    """Replaces attributes of classes and modules; `undo` puts back what was there."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, object]] = []

    def set(self, owner: Any, name: str, value: object) -> None:
        """Put a value in the place of what `owner` has under `name`, if it has anything."""
        self._before.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, value)

    def always(self, owner: Any, name: str, value: object) -> None:
        """Let a method return one value, whatever it is asked."""
        assert hasattr(owner, name), name
        self.set(owner, name, lambda *_, **__: value)

    def around(self, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
        """Replace a method by `wrap(original, self, *args, **options)`."""
        original = getattr(owner, name)
        self.set(owner, name, lambda self, *args, **options: wrap(original, self, *args, **options))

    def undo(self) -> None:
        """Put back all that was replaced."""
        while self._before:
            owner, name, value = self._before.pop()
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


Plant = Callable[[Patch], None]


def naming(bugs: dict[str, Plant]) -> Callable[[str], Callable[[Plant], Plant]]:
    """Return a decorator that enters a bug under its name."""

    def named(name: str) -> Callable[[Plant], Plant]:
        assert name not in bugs, name

        def enter(plant: Plant) -> Plant:
            bugs[name] = plant
            return plant

        return enter

    return named
