"""How long a receiver wants to be left alone, in every form that one was seen to use."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.egress.retry_after import CAP_SECONDS, retry_after_seconds

DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("007", 7.0),
        ("+5", 5.0),
        ("86400", 3600.0),
        ("9999999999", 3600.0),
        ("99999999999999999999", 3600.0),
        ("9" * 900, 3600.0),
        # against the book, and clear
        ("1.5", 1.5),
        ("30.", 30.0),
        # the three dates of RFC 9110
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 10:00:30 GMT", 30.0),
        ("Sun Nov 22 10:00:30 2026", 30.0),
        ("Sun Nov  1 10:00:30 2026", 0.0),
        # and those of servers that mean it
        ("Sun, 22 Nov 2026 10:00:30 UTC", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 +0200", 30.0),
        ("Sun, 22 Nov 2026 10:00:30 -0000", 30.0),
        ("Sun, 22 Nov 2026 09:59:30 GMT", 0.0),
        ("Fri, 22 Nov 2999 10:00:00 GMT", 3600.0),
        # several headers: the longest wish counts
        ("5, 60", 60.0),
        ("60, 5", 60.0),
        ("5, Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT, 5", 30.0),
        ("soon, 5", 5.0),
        # nothing that can be read
        ("", None),
        ("-5", None),
        ("- 5", None),
        ("5 s", None),
        ("1e3", None),
        ("0x10", None),
        ("1.2.3", None),
        ("soon", None),
        ("٧", None),
        ("Fri, 99 Foo 2026 99:99:99 GMT", None),
        ("2026-11-22T10:00:30Z", None),
        ("120abc", None),
    ],
)
def test_retry_after(text, seconds):
    assert retry_after_seconds({"retry-after": text, "date": DATE}, status_code=503) == seconds


def test_given_a_far_side_whose_clock_is_wrong_then_its_own_date_is_what_counts():
    headers = {"retry-after": "Mon, 01 Jan 2001 00:01:00 GMT", "date": "Mon, 01 Jan 2001 00:00:00 GMT"}
    assert retry_after_seconds(headers) == 60.0


@pytest.mark.parametrize("date", ["", "nonsense", "12"])
def test_given_no_date_of_the_answer_then_ours_is_what_counts(date):
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    seconds = retry_after_seconds({"retry-after": in_a_minute, "date": date})
    assert seconds is not None
    assert 50 <= seconds <= 61


NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"x-rate-limit-reset": f"{NOW + 30:.0f}"}, 30.0),
        ({"x-ratelimit-reset": f"{NOW + 30:.3f}"}, 30.0),
        ({"x-ratelimit-reset": f"{(NOW + 30) * 1000:.0f}"}, 30.0),
        ({"x-ratelimit-reset": f"{NOW - 30:.0f}"}, 0.0),
        ({"x-ratelimit-reset": f"{NOW + 86400:.0f}"}, 3600.0),
        ({"ratelimit": '"default";r=0;t=30'}, 30.0),
        ({"ratelimit": "limit=100, remaining=0, reset=30"}, 30.0),
        ({"ratelimit": '"burst";r=0;t=5, "daily";r=0;t=600'}, 600.0),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        ({"ratelimit": '"default";r=0'}, None),
        # Retry-After is what was meant
        ({"ratelimit-reset": "30", "retry-after": "5"}, 5.0),
    ],
)
def test_a_429_without_retry_after_may_say_it_by_its_limits(headers, seconds):
    assert retry_after_seconds({**headers, "date": DATE}, status_code=429) == seconds


def test_limits_say_nothing_of_any_other_answer():
    assert retry_after_seconds({"ratelimit-reset": "30"}, status_code=503) is None


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "date", "ratelimit-reset", "x-ratelimit-reset", "ratelimit"]),
        st.text(max_size=60) | st.text("0123456789.,-+:;= GMTSunNov", max_size=60),
    )
)
def test_whatever_comes_is_within_bounds(headers):
    seconds = retry_after_seconds(headers, status_code=429)
    assert seconds is None or 0 <= seconds <= CAP_SECONDS
