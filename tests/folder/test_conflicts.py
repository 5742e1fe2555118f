"""Both edited the same file: both versions are there, on both sides, until somebody settles it."""

import os
from collections.abc import Callable, Sequence

import pytest

from aeorsync import AsyncClient
from aeorsync.folder.events import Conflicted, Settled
from aeorsync.folder.passes import Look
from aeorsync.folder.session import FolderSync
from tests.support.loops import run
from tests.support.people import Synced, tree

Make = Callable[..., Synced]


@pytest.fixture
def two(person: Make) -> tuple[Synced, Synced]:
    """Two folders with a conflict at ``f.txt``: b's version is shown, a's lies beside it."""
    a, b = person("a"), person("b")
    a.write("f.txt", "old")
    a.sync()
    b.sync()
    a.write("f.txt", "by a")
    b.write("f.txt", "by b")
    a.sync()
    outcome = b.sync()
    assert outcome.conflicts == 1
    assert b.events.count(Conflicted("f.txt", tuple(b.copies))) == 1
    a.sync()
    assert tree(a.path) == tree(b.path)
    return a, b


def test_both_versions_are_on_both_sides_and_never_multiply(two: tuple[Synced, Synced]) -> None:
    for who in (*two, *two):
        assert who.sync().changes == 0
        assert who.read("f.txt") == "by b"
        assert [who.read(copy) for copy in who.copies] == ["by a"]
        assert [conflict.path for conflict in who.status().conflicts] == ["f.txt"]


@pytest.mark.parametrize("then", ["edits", "deletes"])
def test_killed_before_it_is_written_down_what_was_placed_is_not_taken_for_what_was_there(
    person: Make, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    a, b = person("a"), person("b")
    a.write("f.txt", "old")
    a.sync()
    b.sync()
    a.write("f.txt", "by a")
    b.write("f.txt", "by b")
    a.sync()
    b.sync()

    async def dies(*_args: object, **_more: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("aeorsync.folder.pull._Pull._record", dies)
        with pytest.raises(RuntimeError, match="killed"):
            a.sync()
    assert a.read("f.txt") == "by b"
    if then == "edits":
        a.write("f.txt", "by b, and then by a")
    else:
        (a.path / "f.txt").unlink()
    for who in (a, b, a, b):
        who.sync()
    for who in (a, b):
        kept = [who.read(name) for name in who.names]
        assert "by a" in kept  # nobody who saw it replaced it
        assert then == "deletes" or "by b, and then by a" in kept


def test_editing_a_copy_edits_that_version_and_what_is_shown_stays(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    a.write(a.copies[0], "by a, better")
    for who in (a, b, a, b):
        who.sync()
    for who in two:
        assert who.read("f.txt") == "by b"
        assert [who.read(copy) for copy in who.copies] == ["by a, better"]


def test_editing_what_is_shown_keeps_the_other_version(two: tuple[Synced, Synced]) -> None:
    a, b = two
    b.write("f.txt", "by b, better")
    for who in (b, a, b, a):
        who.sync()
    for who in two:
        assert who.read("f.txt") == "by b, better"
        assert [who.read(copy) for copy in who.copies] == ["by a"]


def test_deleting_a_copy_gives_that_version_up(two: tuple[Synced, Synced]) -> None:
    a, b = two
    (a.path / a.copies[0]).unlink()
    a.sync()
    b.sync()
    assert Settled("f.txt") in b.events
    for who in two:
        assert who.names == ["f.txt"]
        assert who.read("f.txt") == "by b"
        assert who.status().conflicts == ()


def test_deleting_what_is_shown_shows_the_other(two: tuple[Synced, Synced]) -> None:
    a, b = two
    (b.path / "f.txt").unlink()
    for who in (b, a, b, a):
        who.sync()
    for who in two:
        assert who.read("f.txt") == "by a"
        assert who.copies == []


def test_deleting_both_leaves_nothing(two: tuple[Synced, Synced]) -> None:
    a, b = two
    for name in b.names:
        (b.path / name).unlink()
    for who in (b, a, b, a):
        who.sync()
    assert a.names == b.names == []
    assert a.status().conflicts == b.status().conflicts == ()


@pytest.mark.parametrize("also", [True, False], ids=["with the file", "alone"])
def test_deleting_a_copy_counts_though_the_file_was_deleted_elsewhere_meanwhile(
    two: tuple[Synced, Synced], *, also: bool
) -> None:
    a, b = two
    for name in a.names if also else a.copies:
        (a.path / name).unlink()
    (b.path / "f.txt").unlink()
    # From here on the server shows in its place what a has deleted.
    for who in (b, a, b, a):
        who.sync()
    assert a.names == b.names == []
    assert a.status().conflicts == b.status().conflicts == ()


def test_deleting_a_copy_counts_in_a_pass_that_does_not_look_for_it(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    (b.path / "f.txt").unlink()
    b.sync()
    (a.path / a.copies[0]).unlink()
    a.look(Look("remote", frozenset()))
    for who in (a, b, a, b):
        who.sync()
    assert a.names == b.names == []


def test_of_three_versions_two_are_deleted_on_two_sides_and_the_third_stays(
    person: Make,
) -> None:
    a, b, c = people = [person(name) for name in "abc"]
    a.write("f.txt", "old")
    contend(people, "f.txt")
    texts = {name: a.read(name) for name in a.copies}
    (b.path / "f.txt").unlink()
    for who in (b, b):
        who.sync()
    gone = next(name for name, text in texts.items() if text == b.read("f.txt"))
    del texts[gone]
    (a.path / gone).unlink()
    a.events = []
    a.sync()
    assert Settled("f.txt") not in a.events  # two versions were left then
    for who in (b, c, a, b, c, a):
        who.sync()
    for who in people:
        assert [who.read(name) for name in who.names] == list(texts.values())


def test_editing_a_file_whose_copy_is_deleted_leaves_that_edit_alone(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    (a.path / a.copies[0]).unlink()
    a.write("f.txt", "by b, and then by a")
    (b.path / "f.txt").unlink()
    for who in (b, a, b, a, b):
        who.sync()
    for who in two:
        assert who.names == ["f.txt"]
        assert who.read("f.txt") == "by b, and then by a"


def test_moving_the_copy_over_what_was_deleted_elsewhere_meanwhile_keeps_it(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    (a.path / a.copies[0]).replace(a.path / "f.txt")
    (b.path / "f.txt").unlink()
    for who in (b, a, b, a):
        who.sync()
    for who in two:
        assert who.names == ["f.txt"]
        assert who.read("f.txt") == "by a"


def contend(people: Sequence[Synced], path: str) -> None:
    """Have all of them, who know a file, edit it at once, and see what the others made of it."""
    for who in people:
        who.sync()
    for who in people:
        who.write(path, f"by {who.path.parent.name}")
    for who in (*people, *people):
        who.sync()


@pytest.fixture
def four(person: Make) -> list[Synced]:
    """Four folders with a conflict of four versions at ``f.txt``: each shows three copies."""
    people = [person(name) for name in "abcd"]
    people[0].write("f.txt", "old")
    contend(people, "f.txt")
    assert all(len(who.copies) == 3 for who in people)
    return people


def test_deleting_a_file_and_all_its_copies_leaves_nothing(four: list[Synced]) -> None:
    for name in four[1].names:
        (four[1].path / name).unlink()
    for who in (*four[1:], *four, *four):
        who.sync()
    for who in four:
        assert who.names == []
        assert who.status().conflicts == ()


def test_a_folder_with_a_conflict_can_be_renamed(person: Make) -> None:
    people = a, b, _ = [person(name) for name in "abc"]
    a.write("d/f.txt", "old")
    contend(people, "d/f.txt")
    (b.path / "d").rename(b.path / "e")
    for who in (b, *people, *people):
        who.sync()
    for who in people:
        assert [name for name in who.names if name.startswith("d")] == []
        texts = {who.read(name) for name in who.names if name.endswith(".txt")}
        assert texts == {f"by {other.path.parent.name}" for other in people}


@pytest.mark.parametrize("kept", range(4))
def test_of_a_file_and_its_copies_just_those_go_that_were_deleted(
    four: list[Synced], kept: int
) -> None:
    a = four[0]
    text = a.read(a.names[kept])
    for name in a.names[:kept] + a.names[kept + 1 :]:
        (a.path / name).unlink()
    for who in (*four, *four, *four):
        who.sync()
    for who in four:
        assert who.names == ["f.txt"]
        assert who.read("f.txt") == text
        assert who.copies == []


def test_moving_the_copy_over_what_is_shown_settles_it(two: tuple[Synced, Synced]) -> None:
    a, b = two
    (a.path / a.copies[0]).replace(a.path / "f.txt")
    for who in (a, b, a, b):
        who.sync()
    for who in two:
        assert who.names == ["f.txt"]
        assert who.read("f.txt") == "by a"
        assert who.status().conflicts == ()


def test_settled_elsewhere_the_copies_go(two: tuple[Synced, Synced]) -> None:
    a, _ = two
    with a.node.client() as client:
        assert client.post(f"/sync/conflicts{a.remote}/f.txt", json={"pick": "loser"}).is_success
    for who in two:
        who.sync()
        assert who.names == ["f.txt"]
        assert who.read("f.txt") == "by a"


def hear(who: Synced) -> None:
    """A pass for news of the server; what changed here meanwhile is not known yet."""

    async def listen() -> None:
        async with (
            AsyncClient(who.node.url, who.key()) as client,
            FolderSync(who.path, client, who.remote, who.options, who.ledger) as sync,
        ):
            await sync._pass(Look("remote", paths=frozenset()), who.events.append)

    run(listen())


def test_a_copy_that_was_touched_meanwhile_goes_all_the_same(two: tuple[Synced, Synced]) -> None:
    a, b = two
    (a.path / a.copies[0]).unlink()
    a.sync()
    os.utime(b.path / b.copies[0])
    hear(b)
    assert b.names == ["f.txt"]
    assert b.status().conflicts == ()


def test_a_copy_that_was_edited_just_before_it_was_given_up_stays_as_that_edit(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    (a.path / a.copies[0]).unlink()
    a.sync()
    b.write(b.copies[0], "by a, edited by b")
    hear(b)
    for who in (b, a, b):
        who.sync()
    for who in two:
        assert sorted(who.read(name) for name in who.names) == ["by a, edited by b", "by b"]


def test_a_copy_edited_while_it_was_settled_elsewhere_is_kept_as_that_edit(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    with a.node.client() as client:
        assert client.post(f"/sync/dismiss{a.remote}/f.txt").is_success
    a.write(a.copies[0], "by a, too late")
    for who in (a, b, a, b):
        who.sync()
    for who in two:
        assert sorted(who.read(name) for name in who.names) == ["by a, too late", "by b"]


def test_a_lost_ledger_knows_its_copies_again(two: tuple[Synced, Synced]) -> None:
    a, b = two
    before = tree(a.path)
    a.ledger.unlink()
    a.sync()
    a.sync()
    b.sync()
    assert tree(a.path) == tree(b.path) == before
    assert len(a.status().conflicts[0].copies) == 1


def test_a_file_that_only_looks_like_a_copy_is_a_file(person: Make) -> None:
    a, b = person("a"), person("b")
    name = "f (conflict 12ab 2026-11-21 10-00-00).txt"
    a.write(name, "mine")
    a.sync()
    b.sync()
    assert b.read(name) == "mine"


def test_an_edit_and_a_deletion_are_listed_without_a_copy(person: Make) -> None:
    a, b = person("a"), person("b")
    a.write("f", "old")
    a.sync()
    b.sync()
    with a.node.client() as client:
        etag = client.head(f"/files{a.remote}/f").headers["etag"]
        client.put(f"/files{a.remote}/f", content=b"new")
        answer = client.delete(f"/files{a.remote}/f", headers={"X-AeorSync-Base": etag})
        assert answer.is_success
    for who in (a, b, a):
        who.sync()
        assert who.names == ["f"] or who is b
    assert a.read("f") == "new"


def test_the_same_edit_on_both_sides_is_no_conflict(person: Make) -> None:
    a, b = person("a"), person("b")
    a.write("f", "old")
    a.sync()
    b.sync()
    a.write("f", "the same")
    b.write("f", "the same")
    for who in (a, b, a, b):
        assert who.sync().conflicts == 0
    assert tree(a.path) == tree(b.path)


def test_an_upload_that_was_not_written_down_before_a_kill_is_one_of_the_versions(
    person: Make,
) -> None:
    a, b = person("a"), person("b")
    a.write("f.txt", "old")
    a.sync()
    b.sync()
    a.write("f.txt", "by a")
    b.write("f.txt", "by b")
    before = b.ledger.read_bytes()
    b.sync()
    b.ledger.write_bytes(before)
    a.sync()
    for who in (b, a):
        who.sync()
    assert tree(a.path) == tree(b.path)
    assert {b.read("f.txt"), *(b.read(copy) for copy in b.copies)} == {"by a", "by b"}
    assert len(b.copies) == 1


def test_moving_one_of_many_copies_over_what_is_shown_keeps_it(person: Make) -> None:
    people = a, *_ = person("a"), person("b"), person("c")
    a.write("f.txt", "old")
    contend(people, "f.txt")
    assert len(a.copies) == 2
    kept = a.read(a.copies[0])
    other = a.read(a.copies[1])
    (a.path / a.copies[0]).replace(a.path / "f.txt")
    for who in (*people, *people):
        who.sync()
    for who in people:
        assert {who.read("f.txt"), *(who.read(copy) for copy in who.copies)} == {kept, other}


def test_moving_a_copy_over_what_was_edited_elsewhere_meanwhile_keeps_it(person: Make) -> None:
    people = a, _, c = person("a"), person("b"), person("c")
    a.write("f.txt", "old")
    contend(people, "f.txt")
    kept = a.read(a.copies[0])
    (a.path / a.copies[0]).replace(a.path / "f.txt")
    c.write("f.txt", "by c, once more")
    for who in (c, *people, *people):
        who.sync()
    for who in people:
        assert kept in {who.read("f.txt"), *(who.read(copy) for copy in who.copies)}
