"""The smallest part of a schedule that still fails in the same way.

First steps are left out, many at a time and then one by one (delta debugging), then what is left
is made simpler: no fault in a conversation, no death in a step, fewer nodes. Until nothing helps.
"""

from collections.abc import Callable, Iterator

import msgspec

from tests.support.sim.small import Schedule, Step

_MOST = 3000


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Make a schedule smaller for as long as it fails.

    Args:
        schedule: One that fails.
        fails: Runs one, and says whether it fails in the same way.
    """
    tried = 0

    def still(other: Schedule) -> bool:
        nonlocal tried
        tried += 1
        return tried < _MOST and fails(other)

    before = None
    while schedule != before:
        before = schedule
        schedule = _without_steps(schedule, still)
        schedule = _simpler(schedule, still)
    return schedule


def _without_steps(schedule: Schedule, still: Callable[[Schedule], bool]) -> Schedule:
    size = max(1, len(schedule.steps) // 2)
    while True:
        at = 0
        while at < len(schedule.steps):
            steps = schedule.steps[:at] + schedule.steps[at + size :]
            other = msgspec.structs.replace(schedule, steps=steps)
            if still(other):
                schedule = other
            else:
                at += size
        if size == 1:
            return schedule
        size //= 2


def _simpler(schedule: Schedule, still: Callable[[Schedule], bool]) -> Schedule:
    for at in range(len(schedule.steps)):
        for step in _simpler_steps(schedule.steps[at]):
            steps = (*schedule.steps[:at], step, *schedule.steps[at + 1 :])
            other = msgspec.structs.replace(schedule, steps=steps)
            if still(other):
                schedule = other
                break
    if schedule.nodes > 1:
        other = msgspec.structs.replace(schedule, nodes=schedule.nodes - 1)
        if still(other):
            return other
    return schedule


def _simpler_steps(step: Step) -> Iterator[Step]:
    name = step[0]
    if name in {"pull", "push", "repair"} and len(step) > 3:
        yield tuple(step[:3])
    if name == "dying":
        yield tuple(step[4])
    if name == "commit":
        if len(step) > 4:
            yield tuple(step[:4])
        for at in range(len(step[3]) if len(step[3]) > 1 else 0):
            yield (*step[:3], step[3][:at] + step[3][at + 1 :], *step[4:])
    if name == "push":
        yield ("pull", step[2], step[1])
