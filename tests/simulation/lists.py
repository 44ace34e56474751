"""What an answer of a daemon may never get wrong, whoever asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.keystate import within

if TYPE_CHECKING:
    from discovery.protocol import ItemChange, SyncAnswer
    from tests.simulation.routers import Router


def check_told(router: Router, answer: SyncAnswer[ItemChange], at_least: int) -> None:
    """It is not older than what its daemon had told a worker when it was asked."""
    is_one_line = router.world.server is None or router.world.server.lives == 1
    if is_one_line and answer.revision < at_least:
        router.judge.blame("old list", f"at {answer.revision}, {at_least} had been told")


def check_list(router: Router, answer: SyncAnswer[ItemChange], at_least: int) -> None:
    """A list is the truth of one revision."""
    check_told(router, answer, at_least)
    line = router.world.truth.lines.get(answer.epoch)
    if line is None or answer.snapshot is None or answer.revision > line.revisions[-1]:
        router.judge.blame("wrong list", f"of {answer.epoch} at {answer.revision}")
        return
    truth = within(line.at(answer.revision).visible, router.scope)
    said = {change.key: change.item.revision for change in answer.snapshot if change.item}
    is_so = {key: entry.revision for key, entry in truth.items()}
    if said != is_so:
        wrong = sorted(k for k in said.keys() | is_so.keys() if said.get(k) != is_so.get(k))
        router.judge.blame("wrong list", f"at {answer.revision}: {wrong[:3]}")
