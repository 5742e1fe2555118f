"""The power goes at every operation of a store; what was promised is there afterwards.

`./scripts/try-crashes` tries every way in which a disk may keep a part of what was not synced;
here one of them is tried at a part of the places.
"""

from collections.abc import Sequence
from random import Random

import pytest

from tests.support.crash_store import STORIES, StoreStory
from tests.support.crashes import cut_everywhere, record, scratch
from tests.support.disk_model import Way

SEED = 5
SHARE = 0.4
"""Of the places at which the power goes."""


def one_way(pick: Random) -> Sequence[Way]:
    return [pick.choice(list(Way))] if pick.random() < SHARE else []


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_what_was_promised_survives_a_power_cut_at_every_operation(story: StoreStory) -> None:
    with scratch() as folder:
        recording = record(story, folder / "disk")
        tally = cut_everywhere(story, recording, folder / "disk", SEED, one_way)
    assert tally.wrong == []
    assert tally.operations > 200
    assert tally.states > tally.operations // 8
