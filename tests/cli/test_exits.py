"""Exit codes and what is said of errors."""

from __future__ import annotations

import logging

import pytest

import discovery
from discovery.cli.exits import MEANINGS, Exit, complain, exit_of, hint_of
from discovery.cli.logged import NoteFormatter
from discovery.cli.standing import degradation_of

CONFLICT = discovery.ModelConflictError(requested="b", endpoint="p/v/g", incumbent="a\x1b[2J")


def test_every_code_has_a_meaning():
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (discovery.InvalidArgumentError("x"), 2),
        (discovery.RecordError("x"), 2),
        (discovery.UnavailableError("x"), 3),
        (discovery.DeadlineExceededError("x"), 3),
        (CONFLICT, 4),
        (discovery.AlreadyExistsError("x"), 4),
        (discovery.PermissionDeniedError("x"), 4),
        (discovery.UnauthenticatedError("x"), 4),
        (discovery.FailedPreconditionError("x"), 4),
        (discovery.LeaseExpiredError("x"), 4),
        (discovery.NotFoundError("x"), 5),
        (discovery.ResourceExhaustedError("x"), 1),
        (discovery.InternalError("x"), 1),
        (discovery.DiscoveryError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_has_its_code(error, code):
    assert exit_of(error) == code


def test_a_complaint_is_a_line_and_a_hint_without_control_characters(capsys):
    assert complain(CONFLICT) is Exit.REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()] == ["discoveryctl", "hint"]
    assert "discoveryctl get models p/v/g" in err
    assert "\x1b" not in err


def test_what_people_cannot_mend_has_no_hint(capsys):
    assert hint_of(discovery.InternalError("x")) is None
    complain(discovery.InternalError("x"))
    assert capsys.readouterr().err == "discoveryctl: x\n"


def test_what_is_logged_is_one_clean_line_and_its_traceback():
    record = logging.makeLogRecord({"msg": "%s gone", "args": ("a\nb\x1b[2J",)})
    assert NoteFormatter().format(record) == "discoveryctl: a?b?[2J gone"
    record.exc_info = (ValueError, ValueError("evil \x1b"), None)
    assert NoteFormatter().format(record).splitlines()[1:] == ["ValueError: evil ?"]


@pytest.mark.parametrize(
    ("age_s", "is_degraded"), [(0.0, False), (3.0, False), (3.1, True), (None, False)]
)
def test_a_daemon_is_degraded_after_three_beats_without_its_store(age_s, is_degraded):
    told = {"store_age_s": age_s, "beat_interval_s": 1.0, "store": "etcd://x"}
    assert bool(degradation_of(told)) is is_degraded
