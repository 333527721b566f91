"""Advice of errors, and waits that an API asks for, are read safely."""

from __future__ import annotations

import time

from hypothesis import example, given
from hypothesis import strategies as st

from tap_payments import errors
from tap_payments.api.transport import read_retry_after
from tap_payments.timestamps import describe


def test_every_advice_is_one_line_with_an_action() -> None:
    for status in range(200, 600):
        advice = errors.advise(status)
        assert advice == " ".join(advice.split())
        assert errors.describe_status(status).startswith(str(status))
    assert "`username` and `password`" in errors.advise(401)
    assert "API access must be enabled" in errors.advise(403)
    assert "`base_url`" in errors.advise(404)
    assert "`requests_per_minute`" in errors.advise(429)
    assert "`base_url`" in errors.advise(302)


@given(
    st.one_of(
        st.none(),
        st.text(st.characters(max_codepoint=255)),
        st.lists(
            st.sampled_from(
                ["Wed", ",", " ", "21", "Oct", "2015", "07:28:00", "GMT", "+9999", "-", ":", "9" * 20, "(", '"']
            )
        ).map("".join),
    )
)
@example("Wed, 21 Oct 99999 07:28:00 GMT")
@example("Wed, 21 Oct 2015 07:28:00 +99999999999999999999")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_any_header_is_read_or_passed_over(header: str | None) -> None:
    wait = read_retry_after(header)
    assert wait is None or wait >= 0
    assert wait is None or describe(time.time() + wait)
