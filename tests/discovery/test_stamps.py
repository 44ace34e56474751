from __future__ import annotations

import pytest

from discovery.errors import InvalidArgumentError
from discovery.stamps import checked_stamp, stamp


def test_a_stamp_is_utc_with_milliseconds():
    assert stamp(0) == "1970-01-01T00:00:00.000Z"
    assert stamp(1_763_750_000_123) == "2025-11-21T18:33:20.123Z"


@pytest.mark.parametrize(
    "text",
    ["2025-11-21T18:33:20.123Z", "2025-11-21T20:33:20.123456+02:00", "2025-11-21t18:33:20.123z"],
)
def test_what_others_write_of_the_same_time_reads_as_the_same(text):
    assert checked_stamp("created_at", text) == "2025-11-21T18:33:20.123Z"


@pytest.mark.parametrize("text", ["0553-11-21T18:33:20.123Z", "9999-12-31T23:59:59.999Z"])
def test_what_is_written_reads_as_the_same_in_any_year(text):
    assert checked_stamp("created_at", text) == text


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "",
        "now",
        "2025-11-21",
        "2025-11-21T18:33:20",
        "2025-13-21T18:33:20Z",
        "0001-01-01T00:00:00+10:00",
    ],
)
def test_what_is_no_rfc_3339_is_refused_by_its_field(value):
    with pytest.raises(InvalidArgumentError, match="created_at: expected a time as RFC 3339"):
        checked_stamp("created_at", value)
