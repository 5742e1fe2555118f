"""Marks never forget, and rarely claim what was never marked."""

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.hashing import chunk_id
from aeorsync.core.marks import Marks

ids = st.binary(min_size=32, max_size=32)


@given(st.lists(ids), st.integers(0, 2**64 - 1), st.integers(0, 100))
def test_what_was_marked_is_marked(names: list[bytes], salt: int, expected: int) -> None:
    marks = Marks(expected, salt)
    for name in names:
        marks.add(name)
    assert all(name in marks for name in names)


def test_of_what_was_not_marked_few_look_so_and_others_with_another_salt() -> None:
    names = [chunk_id(b"%d" % number) for number in range(40_000)]
    wrong = []
    for salt in (1, 2):
        marks = Marks(20_000, salt)
        for name in names[:20_000]:
            marks.add(name)
        wrong.append({name for name in names[20_000:] if name in marks})
    assert all(10 < len(found) < 150 for found in wrong)
    assert len(wrong[0] & wrong[1]) < 10
