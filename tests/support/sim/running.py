"""Runs schedules, and says of each how it ended.

Whatever a run depends on comes from its schedule, so a schedule that is run twice ends in the
same way, with the same *trace*: a hash of every commit of every node, in their order.
"""

import gc
import sys
import traceback
from dataclasses import dataclass
from random import Random

import msgspec

from aeorsync.runtime import chance, threads
from tests.support.sim.crew import DelayedCrew, InlineCrew
from tests.support.sim.loop import Loop
from tests.support.sim.making import make_small
from tests.support.sim.making_whole import make_whole
from tests.support.sim.small import Schedule, Small
from tests.support.sim.steps import STEPS
from tests.support.sim.whole import Whole


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        schedule: What was played.
        trace: Hash of all that was committed.
        failure: What went wrong, in one line; None when nothing did.
        where: The stack of that.
    """

    schedule: Schedule
    trace: str = ""
    failure: str | None = None
    where: str = ""

    @property
    def kind(self) -> str:
        """The failure without the numbers in it, so that two of one kind can be told."""
        text = (self.failure or "")[:60]
        return "".join(letter for letter in text if not letter.isdigit()).partition("{")[0]


def make(size: str, seed: int) -> Schedule:
    """The schedule of a seed."""
    return make_small(seed) if size == "small" else make_whole(seed)


def play(schedule: Schedule) -> Ended:
    """Run a schedule to its end, whatever that is."""
    try:
        run = run_small if schedule.size == "small" else run_whole
        return Ended(schedule, run(schedule).trace())
    except (Exception, SystemExit) as error:  # noqa: BLE001  # that is what is looked for
        text = f"{type(error).__name__}: {error}"
        return Ended(schedule, "", text, traceback.format_exc())


def run_small(schedule: Schedule) -> Small:
    """Play a little schedule to its end.

    Raises:
        Exception: What went wrong.
    """
    loop = Loop()
    source = Random(schedule.seed)
    try:
        with chance.drawn_from(source), threads.done_by(InlineCrew()):
            run = Small(schedule)
            loop.run_until_complete(run.run(STEPS))
            return run
    finally:
        loop.close()


def run_whole(schedule: Schedule) -> Whole:
    """Play the schedule of a whole cluster to its end.

    Raises:
        Exception: What went wrong.
    """
    ways = Random(schedule.seed)
    loop = Loop(ways)
    loop.set_exception_handler(lambda _, __: None)
    source = Random(schedule.seed)
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        with chance.drawn_from(source), threads.done_by(DelayedCrew(loop, ways)):
            run = Whole(schedule, loop, ways)
            try:
                loop.run_until_complete(run.run(STEPS))
            finally:
                loop.run_until_complete(run.dispose())
            return run
    finally:
        loop.close()
        # What is left of the dead cannot end in good order, and need not.
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        gc.collect(0)
        sys.unraisablehook = hook
        if was_collecting:
            gc.enable()


def encode(schedule: Schedule) -> str:
    """A schedule as JSON, a step a line."""
    steps = ",\n  ".join(msgspec.json.encode(step).decode() for step in schedule.steps)
    head = {"size": schedule.size, "seed": schedule.seed, "nodes": schedule.nodes}
    head["is_founded"] = schedule.is_founded
    return msgspec.json.encode(head).decode()[:-1] + ',"steps":[\n  ' + steps + "\n]}\n"


def decode(text: str | bytes) -> Schedule:
    """The inverse of `encode`."""
    return msgspec.json.decode(text, type=Schedule)
