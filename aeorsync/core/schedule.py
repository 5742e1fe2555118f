"""When something is due that is to be done again and again: cron expressions, and ages in months.

    0 3 * * *          each day at 03:00
    */15 * * * *       each quarter of an hour
    0 0 1 * *          each first of a month

*All times are UTC*: there an hour is never left out and never comes twice.
"""

from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from aeorsync.errors import BadRequestError

MAX_EXPRESSION = 128
_FIELDS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = 12
_LAST_DAY_OF_ALL = 28


def check_schedule(expression: str) -> str:
    """Demand a cron expression of five fields that is due some day.

    Raises:
        BadRequestError: It is none.
    """
    if len(expression) > MAX_EXPRESSION or len(expression.split()) != _FIELDS:
        raise BadRequestError(
            "a schedule has five fields: minute, hour, day, month, weekday; like 0 3 * * *"
        )
    next_ms(expression, 0)
    return expression


def next_ms(expression: str, after_ms: int) -> int:
    """When an expression is due next, in milliseconds since the Unix epoch.

    Args:
        expression: Five fields, in UTC.
        after_ms: Moment that must be past by then.

    Raises:
        BadRequestError: The expression cannot be read, or is never due.
    """
    start = _EPOCH + timedelta(milliseconds=after_ms)
    try:
        due = next(CronSim(expression, start))
    except CronSimError as error:
        raise BadRequestError(f"the schedule cannot be read: {error}") from error
    except StopIteration as error:
        raise BadRequestError("the schedule is never due") from error
    return round((due - _EPOCH).total_seconds() * 1000)


def months_before(now_ms: int, months: int) -> int:
    """The moment so many calendar months ago, in milliseconds since the Unix epoch.

    A day that the month then does not have, or one after the 28th, is taken as the 28th.
    """
    now = _EPOCH + timedelta(milliseconds=now_ms)
    count = now.year * _MONTHS + now.month - 1 - months
    if count < _EPOCH.year * _MONTHS:
        return 0
    then = now.replace(
        year=count // _MONTHS,
        month=count % _MONTHS + 1,
        day=min(now.day, _LAST_DAY_OF_ALL),
    )
    return round((then - _EPOCH).total_seconds() * 1000)
