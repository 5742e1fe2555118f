"""How conflict copies are called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.folder.copies import MAX_NAME, copy_name, looks_like_copy, may_show

WHEN = 1_795_273_445_000
names = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"),
    min_size=1,
    max_size=255,
).filter(lambda text: len(text.encode()) <= MAX_NAME and text not in {".", ".."})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.txt", "report (conflict 2a3f 2026-11-21 15-04-05).txt"),
        ("README", "README (conflict 2a3f 2026-11-21 15-04-05)"),
        (".bashrc", ".bashrc (conflict 2a3f 2026-11-21 15-04-05)"),
        ("a.tar.gz", "a.tar (conflict 2a3f 2026-11-21 15-04-05).gz"),
        (
            "v1. the first draft of it",
            "v1. the first draft of it (conflict 2a3f 2026-11-21 15-04-05)",
        ),
    ],
)
def test_a_copy_is_named_for_the_version_it_shows(name: str, expected: str) -> None:
    assert copy_name(name, 0x12A3F, WHEN) == expected


def test_a_name_that_is_taken_gets_a_number() -> None:
    taken: set[str] = set()
    for _ in range(3):
        taken.add(copy_name("a.txt", 7, WHEN, taken))
    assert sorted(re.sub(r".*\)", "", name) for name in taken) == [" 2.txt", " 3.txt", ".txt"]


@given(names, st.integers(1, (1 << 63) - 1), st.integers(-1, 1 << 62))
def test_every_name_has_a_copy_that_is_known_again(name: str, node: int, when: int) -> None:
    taken: set[str] = set()
    for _ in range(3):
        copy = copy_name(name, node, when, taken)
        taken.add(copy)
        assert len(copy.encode()) <= MAX_NAME
        assert looks_like_copy(copy)
        assert may_show(copy, name)
    assert len(taken) == 3


def test_other_files_are_no_copies() -> None:
    assert not looks_like_copy("a (conflict of interest).txt")
    assert not looks_like_copy("a.txt")
    assert not may_show("b (conflict 2a3f 2026-11-21 15-04-05).txt", "a.txt")
