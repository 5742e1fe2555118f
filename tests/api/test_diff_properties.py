"""Whoever reads on to the end has the tree, whatever happens meanwhile."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.cluster import pages, walk
from aeorsync.cluster.walk import Sieve
from aeorsync.storage.base import Change
from aeorsync.wire import limits
from tests.api.readers import (
    FrameReader,
    JsonReader,
    Operation,
    Tree,
    everything,
    operations,
    perform,
)
from tests.support.repositories import memory_repository

turns = st.sampled_from(["turn", "turn", "catch up", "fork", "new"])
histories = st.lists(operations | turns, max_size=40)
small = st.integers(1, 3)


@given(history=histories, page=small, scan=st.integers(1, 5), system=st.booleans())
def test_json_pages_lead_every_reader_to_the_tree(
    history: list[Operation | str], page: int, scan: int, *, system: bool
) -> None:
    repository = memory_repository()
    readers = [JsonReader(repository, Sieve(shows_system=system))]
    with patch.object(limits, "MAX_PAGE", page), patch.object(walk, "MAX_SCAN", scan):
        for number, event in enumerate(history):
            reader = readers[number % len(readers)]
            match event:
                case "turn":
                    reader.turn()
                case "catch up":
                    reader.catch_up()
                case "fork":
                    readers.append(reader.copy())
                case "new":
                    readers.append(JsonReader(repository, Sieve(shows_system=system)))
                case _:
                    assert not isinstance(event, str)
                    perform(repository, event)
        for reader in readers:
            reader.catch_up()
            assert reader.tree == Tree.of(repository, system=system)
            assert reader.token == repository.head.root.hex()
    repository.close()


@given(histories, small, st.integers(1, 5))
def test_frames_tell_a_node_of_every_key_while_others_write(
    history: list[Operation | str], page: int, scan: int
) -> None:
    repository = memory_repository()
    readers = [FrameReader(repository)]
    with patch.object(pages, "PAGE_ITEMS", page), patch.object(walk, "MAX_SCAN", scan):
        for number, event in enumerate(history):
            reader = readers[number % len(readers)]
            match event:
                case "turn" | "fork":
                    reader.turn()
                case "catch up":
                    reader.catch_up()
                case "new":
                    readers.append(FrameReader(repository))
                case _:
                    assert not isinstance(event, str)
                    perform(repository, event)
        for reader in readers:
            reader.catch_up()
            assert reader.entries == everything(repository)
            told = len(reader.told)
            reader.catch_up()
            assert len(reader.told) == told
    repository.close()


@given(st.lists(operations, max_size=30), st.integers(0, 30))
def test_nothing_that_came_from_a_node_goes_back_to_it(history: list[Operation], at: int) -> None:
    source, target = memory_repository(node=5), memory_repository(node=7)
    for operation in history[:at]:
        perform(target, operation)
    sieve = Sieve(shows_system=True, shows_graves=True, asker=5)
    reader = FrameReader(target, sieve)
    reader.catch_up()
    before = len(reader.told)
    for operation in history[at:]:
        perform(source, operation)
    ours = everything(target)
    target.apply(list(everything(source).items()), via=5).result(timeout=30)
    reader.catch_up()
    for key in reader.told[before:]:
        # Only what is not the source's very own state is told to it.
        assert everything(target)[key] != everything(source).get(key)
        assert key in ours
    source.close()
    target.close()


def test_what_a_page_told_and_what_ended_since_is_taken_back() -> None:
    repository = memory_repository()
    perform(repository, ("put", "/a", 0))
    perform(repository, ("put", "/b", 0))
    reader = JsonReader(repository)
    with patch.object(limits, "MAX_PAGE", 1):
        reader.turn()
        perform(repository, ("put", "/b1", 0))
        reader.turn()
        reader.turn()
        assert set(reader.tree.files) == {"/a", "/b", "/b1"}
        perform(repository, ("delete", "/b1", 0))
        reader.catch_up()
    assert set(reader.tree.files) == {"/a", "/b"}
    repository.close()


def test_a_commit_in_the_middle_of_a_page_is_left_for_the_next() -> None:
    repository = memory_repository()
    perform(repository, ("put", "/a", 0))
    reader = FrameReader(repository)
    reader.catch_up()
    perform(repository, ("put", "/a", 1))
    read = repository.changes

    def read_late(after: int, limit: int) -> list[Change]:
        with patch.object(repository, "changes", read):
            perform(repository, ("put", "/b", 0))
        return read(after, limit)

    with patch.object(repository, "changes", read_late):
        reader.turn()
    assert set(reader.entries) == {b"a"}
    reader.catch_up()
    assert reader.entries == everything(repository)
    repository.close()
