"""docs/folder-client.md names everything that a folder client says and takes."""

import re
from pathlib import Path
from typing import get_args

import pytest

from aeorsync.cli.sync_words import facts
from aeorsync.config import folders
from aeorsync.folder import events
from aeorsync.folder.places import Note, State

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/folder-client.md").read_text()
SYNC = (ROOT / "aeorsync/cli/sync.py").read_text()


def unnamed(words: set[str]) -> set[str]:
    """Return those of the words that the page does not name."""
    return {
        word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", PAGE)
    }


@pytest.mark.parametrize(
    "words",
    [
        {why.value for why in events.Why},
        {state.value for state in State},
        {act.value for act in events.Act},
        {phase.value for phase in events.Phase},
        set(folders.KEYS),
        set(Note.__struct_fields__),
        set(re.findall(r"--[a-z]+(?:-[a-z]+)*", SYNC)) - {"--delete-local", "--delete-remote"},
    ],
    ids=["problems", "states", "acts", "phases", "keys", "fields of status", "flags"],
)
def test_the_page_names_every_word(words: set[str]) -> None:
    assert words
    assert unnamed(words) == set()


def test_the_page_names_every_event() -> None:
    kinds = get_args(events.Event)
    assert len(kinds) > 10
    names = {re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower() for kind in kinds}
    assert facts(events.Online())["event"] == "online"
    assert unnamed(names | {"ended"}) == set()
