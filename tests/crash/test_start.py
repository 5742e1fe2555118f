"""The power goes at every operation on the small files of nodes and users."""

import pytest

from tests.crash.test_store import SEED, one_way
from tests.support.crash_start import STORIES
from tests.support.crashes import Story, cut_everywhere, record, scratch


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_what_somebody_was_told_holds_after_a_power_cut(story: Story) -> None:
    with scratch() as folder:
        recording = record(story, folder / "disk")
        tally = cut_everywhere(story, recording, folder / "disk", SEED, one_way)
    assert tally.wrong == []
    assert tally.operations > 40
