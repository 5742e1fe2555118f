"""The power goes at every operation of a pass; the next ones make up for all of it."""

import os
from pathlib import Path

import pytest

from aeorsync.folder.placing import Folders
from aeorsync.folder.root import SafeRoot
from tests.crash.test_recorder import left
from tests.crash.test_store import SEED, one_way
from tests.support.crash_folder import STORIES, FolderStory
from tests.support.crashes import cut_everywhere, record, scratch
from tests.support.disk import RecordedDisk
from tests.support.disk_model import Way


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_pass_that_was_cut_off_is_made_up_for(story: FolderStory) -> None:
    with scratch() as folder:
        recording = record(story, folder / "disk")
        tally = cut_everywhere(story, recording, folder / "disk", SEED, one_way)
    assert tally.wrong == []
    assert tally.operations > 30
    assert tally.states > tally.operations // 8


def test_folders_on_the_way_to_a_file_are_as_durable_as_the_file(tmp_path: Path) -> None:
    with RecordedDisk(tmp_path) as disk, SafeRoot(tmp_path, "0123abcd") as root:
        folders = Folders(root)
        held = folders.of("a/b/c/file")
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=held.handle))
        folders.sync()
        folders.close()
    assert set(left(disk, Way.NONE)) == {"a", "b", "c", "file"}
