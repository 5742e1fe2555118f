"""The disk refuses an operation, whichever, for once or for a while; then all goes on."""

import pytest

from tests.support import crash_folder, crash_store
from tests.support.crash_folder import FolderStory
from tests.support.crash_refusals import Refusal, of_folder, of_store
from tests.support.crash_store import SMALL, StoreStory
from tests.support.crashes import scratch

hows = pytest.mark.parametrize("how", Refusal, ids=lambda how: how.value)


@hows
def test_a_store_tells_what_was_refused_and_goes_on(how: Refusal) -> None:
    with scratch() as folder:
        assert of_store(SMALL, folder, how, lambda at: at % 8 == 1) == []


@hows
@pytest.mark.parametrize("story", crash_store.STORIES, ids=lambda story: story.name)
def test_whatever_was_asked_for_is_done_in_the_end(story: StoreStory, how: Refusal) -> None:
    with scratch() as folder:
        assert of_store(story, folder, how, lambda at: at % 83 == 70) == []


@hows
@pytest.mark.parametrize("story", crash_folder.STORIES, ids=lambda story: story.name)
def test_a_pass_that_was_refused_something_is_made_up_for(
    story: FolderStory, how: Refusal
) -> None:
    with scratch() as folder:
        assert of_folder(story, folder, how, lambda at: at % 37 == 20) == []
