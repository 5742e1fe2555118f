"""Which old chunks a new one replaced."""

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.replaced import MAX_BASES, Reference, replaced


def chunks(names: str, size: int = 10) -> list[Reference]:
    """A file of chunks of equal size, one a letter."""
    return [(name.encode(), size) for name in names]


def named(old: str, new: str) -> dict[str, str]:
    """What the letters of a new file replaced."""
    found = replaced(chunks(old), chunks(new), {name.encode() for name in new})
    return {name.decode(): b"".join(bases).decode() for name, bases in found.items()}


def test_what_stands_between_the_same_neighbours_was_replaced() -> None:
    assert named("abcde", "abXde") == {"X": "c"}
    assert named("abcde", "Xbcde") == {"X": "a"}
    assert named("abcde", "abcdX") == {"X": "e"}


def test_each_of_a_run_replaced_what_lay_where_it_lies() -> None:
    assert named("abcdef", "aXYZef") == {"X": "b", "Y": "c", "Z": "d"}


def test_a_chunk_that_was_cut_elsewhere_replaced_both_that_it_overlaps() -> None:
    old = [(b"a", 10), (b"b", 10), (b"c", 10), (b"d", 10)]
    new = [(b"a", 10), (b"X", 20), (b"d", 10)]
    assert replaced(old, new, {b"X"}) == {b"X": (b"b", b"c")}


def test_at_a_seam_the_ends_of_both_neighbours_count() -> None:
    assert named("abcd", "cXb") == {"X": "da"}


def test_what_was_put_between_two_neighbours_replaced_nothing() -> None:
    assert named("abcd", "abXcd") == {}


def test_a_file_of_one_chunk_replaced_the_one_before() -> None:
    assert named("a", "X") == {"X": "a"}


def test_only_what_is_wanted_is_told() -> None:
    assert replaced(chunks("abc"), chunks("XbY"), {b"Y"}) == {b"Y": (b"c",)}


def test_a_chunk_that_is_in_use_is_replaced_by_nothing() -> None:
    assert named("abc", "aXcb") == {}


@given(st.text("abcdefgh", max_size=30), st.text("abcdefghXYZW", max_size=30))
def test_bases_are_few_old_chunks_that_are_not_in_use(old: str, new: str) -> None:
    for name, bases in named(old, new).items():
        assert name not in old
        assert 1 <= len(bases) <= MAX_BASES
        assert set(bases) <= set(old) - set(new)


def test_a_file_that_is_all_new_is_no_more_than_one_pass() -> None:
    old = [(b"%d" % at, 10) for at in range(20_000)]
    new = [(b"x%d" % at, 10) for at in range(20_000)]
    found = replaced(old, new, {name for name, _ in new})
    assert found[b"x7"] == (b"7",)
    assert len(found) == 20_000
