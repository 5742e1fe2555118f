"""When something is due."""

from datetime import UTC, datetime

import pytest

from aeorsync.core.schedule import check_schedule, months_before, next_ms
from aeorsync.errors import BadRequestError


def ms(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("0 3 * * *", (2026, 11, 21, 15, 0), (2026, 11, 22, 3, 0)),
        ("0 3 * * *", (2026, 11, 22, 3, 0), (2026, 11, 23, 3, 0)),
        ("0 * * * *", (2026, 11, 21, 15, 59), (2026, 11, 21, 16, 0)),
        ("*/15 * * * *", (2026, 11, 21, 15, 1), (2026, 11, 21, 15, 15)),
        ("0 0 1 * *", (2026, 12, 31, 23, 59), (2027, 1, 1, 0, 0)),
        ("0 12 * * MON", (2026, 11, 21, 15, 0), (2026, 11, 23, 12, 0)),
    ],
)
def test_it_is_due_at_the_next_moment_that_fits_and_not_at_this_one(
    expression: str, after: tuple[int, ...], due: tuple[int, ...]
) -> None:
    assert next_ms(check_schedule(expression), ms(*after)) == ms(*due)


@pytest.mark.parametrize(
    "bad", ["", "x", "0 3 * *", "60 * * * *", "0 0 31 2 *", "* * * * * *", "0 3 * * *" * 99]
)
def test_what_is_no_schedule_is_refused(bad: str) -> None:
    with pytest.raises(BadRequestError):
        check_schedule(bad)


def test_months_are_those_of_the_calendar() -> None:
    assert months_before(ms(2026, 11, 21), 1) == ms(2026, 10, 21)
    assert months_before(ms(2026, 3, 31), 1) == ms(2026, 2, 28)
    assert months_before(ms(2026, 1, 15), 13) == ms(2024, 12, 15)
    assert months_before(ms(2026, 1, 15), 1200) == 0
