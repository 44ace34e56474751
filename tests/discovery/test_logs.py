"""discovery.logs: lines for people and for collectors."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import warnings

import pytest

from discovery import logs
from discovery.settings import LogSettings

logger = logging.getLogger("discovery.test")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def logging_as_before():
    loggers = [logging.getLogger(name) for name in (None, "discovery", "transports")]
    before = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    logging.captureWarnings(capture=False)
    for one, level, handlers in before:
        one.setLevel(level)
        one.handlers = handlers


def logged(stream=None, *, level="info", form="json"):
    stream = io.StringIO() if stream is None else stream
    logs.configure(LogSettings(level=level, format=form), stream)
    return stream


def the_object(stream):
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_a_json_line_has_time_level_logger_message_and_the_extra_fields_as_keys():
    stream = logged()
    logger.info("instance joined", extra={"key": "v1/instances/a/b/c:1f", "count": 3})
    line = the_object(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "discovery.test",
        "message": "instance joined",
        "key": "v1/instances/a/b/c:1f",
        "count": 3,
    }


def test_a_text_line_has_the_extra_fields_as_words():
    stream = logged(form="text")
    logger.warning("lease lost", extra={"lease": "1f", "ttl_s": 2.5})
    (line,) = stream.getvalue().splitlines()
    time, rest = line[:23], line[23:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", time)
    assert rest == " WARNING discovery.test: lease lost lease=1f ttl_s=2.5"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a b", '"a b"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("one\nINFO two", r'"one\nINFO two"'),
        ("\x1b[31m", r'"\u001b[31m"'),
        ("größe", "größe"),
        ("größe m", '"größe m"'),
        (None, "None"),
    ],
    ids=repr,
)
def test_a_value_cannot_break_a_text_line(value, word):
    stream = logged(form="text")
    logger.info("seen", extra={"value": value})
    assert stream.getvalue().endswith(f": seen value={word}\n")


def test_an_exception_is_kept_in_both_forms():
    for form, read in (("json", the_object), ("text", io.StringIO.getvalue)):
        stream = logged(form=form)
        try:
            int("boom")
        except ValueError:
            logger.exception("gave up")
        seen = read(stream)
        trace = seen["exception"] if form == "json" else seen
        assert "Traceback" in trace
        assert "ValueError: invalid literal" in trace


def test_a_stack_is_kept():
    stream = logged()
    logger.info("here", stack_info=True)
    assert "test_a_stack_is_kept" in the_object(stream)["exception"]


def test_an_extra_field_never_hides_a_field_of_the_line():
    stream = logged()
    logger.info("seen", extra={"time": "noon", "level": 9})
    line = the_object(stream)
    assert (line["level"], line["level_"], line["time_"]) == ("info", 9, "noon")


@pytest.mark.parametrize(
    "value", [math.nan, {(1, 2): 3}, [math.inf], object()], ids=["nan", "keys", "inf", "object"]
)
def test_what_json_cannot_say_is_logged_as_text(value):
    stream = logged()
    logger.info("seen", extra={"value": value})
    assert the_object(stream)["value"] == str(value)


def test_auto_is_text_on_a_terminal_and_json_elsewhere():
    terminal, pipe = logged(Terminal(), form="auto"), io.StringIO()
    logger.info("one")
    logs.configure(LogSettings(), pipe)
    logger.info("two")
    assert terminal.getvalue().endswith("one\n")
    assert "{" not in terminal.getvalue()
    assert the_object(pipe)["message"] == "two"


def test_the_level_holds_for_our_loggers_and_libraries_log_warnings_only():
    stream = logged(level="debug")
    logger.debug("ours")
    logging.getLogger("transports.zmq").debug("also ours")
    logging.getLogger("uvicorn.error").info("theirs")
    logging.getLogger("uvicorn.error").warning("theirs, serious")
    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert messages == ["ours", "also ours", "theirs, serious"]


def test_what_is_below_the_level_is_not_logged():
    stream = logged(level="error")
    logger.warning("not this")
    assert stream.getvalue() == ""


def test_python_warnings_are_logged():
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        stream = logged()
        warnings.warn("old style", DeprecationWarning, stacklevel=1)
    assert "old style" in the_object(stream)["message"]
