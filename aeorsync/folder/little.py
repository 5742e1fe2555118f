"""What may be done with no event loop (`runtime.straight`): to send a little, and nothing else.

Everything else wants many things at a time, or patience: it goes the long way, from the beginning.
"""

from typing import Final

from aeorsync.errors import StaleError
from aeorsync.folder.plan import Plan
from aeorsync.runtime import straight
from aeorsync.wire.limits import KIB

FEW: Final = 64
"""Paths."""
LITTLE: Final = 256 * KIB
"""Bytes of files."""


class TooMuchError(StaleError):
    """This pass has more to do; of what came up last nothing was done."""

    def __init__(self) -> None:
        super().__init__("there is more to do")


def check(plan: Plan) -> None:
    """Stop where a plan is not for whoever is driven straight through.

    Raises:
        TooMuchError: It is not.
    """
    if not straight.is_on():
        return
    others = plan.take, plan.remove, plan.edits, plan.show, plan.problems
    count = len(plan.give) + len(plan.drop)
    if any(others) or count > FEW or sum(give.here.size for give in plan.give) > LITTLE:
        raise TooMuchError


def check_news(observing: straight.Begun[set[str]]) -> None:
    """Stop where the server has news, if that is known before the disk is looked at.

    Raises:
        TooMuchError: It has.
    """
    if straight.by_now(observing):
        raise TooMuchError


async def rest(seconds: float) -> None:
    """Wait a moment.

    Raises:
        TooMuchError: Nobody waits here.
    """
    if straight.is_on():
        raise TooMuchError
    import asyncio  # noqa: PLC0415  # there by now

    await asyncio.sleep(seconds)
