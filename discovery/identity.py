"""Which models may share an endpoint (DESIGN §3; the peer's rule of generation a)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.cards import display_name_of, is_lora_card

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from discovery.jsonvalue import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """What of a card decides whether it can stand beside another."""

    display_name: str
    source_path: str | None = None
    is_lora: bool = False

    @property
    def base(self) -> str:
        """What an adapter must share with its base: the source path, else the display name."""
        return self.display_name if self.source_path is None else self.source_path


def identity_from_card(card: Mapping[str, Json], suffix: str | None) -> ModelIdentity:
    """Return the identity of a card registered under `suffix`.

    Raises:
        InvalidArgumentError: the card has no `display_name`.
    """
    source_path = card.get("source_path")
    return ModelIdentity(
        display_name=display_name_of(card),
        source_path=source_path if isinstance(source_path, str) else None,
        is_lora=is_lora_card(card, suffix),
    )


def is_compatible(a: ModelIdentity, b: ModelIdentity) -> bool:
    """Return whether both may be on one endpoint; symmetric, but not transitive."""
    if a.is_lora or b.is_lora:
        return a.base == b.base
    return a.display_name == b.display_name


def find_conflict(
    requested: ModelIdentity, existing: Iterable[ModelIdentity]
) -> ModelIdentity | None:
    """Return the first of `existing` that `requested` cannot stand beside, None without one."""
    return next((other for other in existing if not is_compatible(requested, other)), None)
