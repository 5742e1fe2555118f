"""Two folders and a real node: what people do on one side is on the other."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from aeorsync.client.syncing import SyncCalls
from aeorsync.core.reconcile import Direction
from aeorsync.core.versions import Kind
from aeorsync.errors import AeorError, NotFoundError, UnavailableError
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Deleted, Moved, Planned, Side, Why
from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.passes import Look
from aeorsync.folder.placing import Done
from aeorsync.folder.plan import Plan, Settled, Take
from aeorsync.folder.pull import _Pull, pull
from aeorsync.folder.root import RootGoneError
from aeorsync.folder.session import FolderSync
from aeorsync.folder.work import Work
from aeorsync.runtime.clock import WallClock
from tests.support.cycles import noise
from tests.support.folding import fold_case
from tests.support.nodes import NodeProcess
from tests.support.people import Synced, tree

Make = Callable[..., Synced]
BIG = 20_000_000


@pytest.fixture
def two(person: Make) -> tuple[Synced, Synced]:
    return person("a"), person("b")


def test_files_folders_links_modes_and_times_come_to_the_other_side(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    a.write("docs/hello.txt", "hello")
    a.write("run", "#!/bin/sh")
    (a.path / "run").chmod(0o755)
    (a.path / "empty").mkdir()
    (a.path / "link").symlink_to("docs/hello.txt")
    (a.path / "big").write_bytes(noise(BIG))
    os.utime(a.path / "run", ns=(1, 1_234_567_890_123_456_789))
    assert a.sync().uploaded == 6
    assert b.sync().downloaded == 6
    assert tree(a.path) == tree(b.path)
    for who in two:
        assert who.sync().changes == 0


def test_edits_travel_both_ways_in_one_pass(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("one", "1")
    a.write("two", "2")
    a.sync()
    b.sync()
    a.write("one", "1 by a")
    b.write("two", "2 by b")
    a.sync()
    b.sync()
    a.sync()
    assert tree(a.path) == tree(b.path)
    assert (a.read("one"), a.read("two")) == ("1 by a", "2 by b")


def test_a_byte_in_a_large_file_moves_a_chunk(two: tuple[Synced, Synced]) -> None:
    a, b = two
    data = noise(BIG)
    (a.path / "big").write_bytes(data)
    a.sync()
    b.sync()
    (a.path / "big").write_bytes(b"!" + data)
    assert a.sync().bytes_sent < 600_000
    assert b.sync().bytes_received < 600_000
    assert (b.path / "big").read_bytes() == b"!" + data


def test_a_renamed_folder_moves_no_content(two: tuple[Synced, Synced]) -> None:
    a, b = two
    for number in range(300):
        a.write(f"old/deep/{number}", f"content {number} " * 20)
    a.sync()
    b.sync()
    (a.path / "old").rename(a.path / "new")
    outcome = a.sync()
    assert (outcome.moved, outcome.bytes_sent) == (300, 0)
    assert Moved("old/deep/7", "new/deep/7", Side.REMOTE) in a.events
    outcome = b.sync()
    assert (outcome.moved, outcome.bytes_received) == (300, 0)
    assert tree(a.path) == tree(b.path)
    assert not (b.path / "old").exists()


def test_a_copy_of_a_file_is_not_fetched(two: tuple[Synced, Synced]) -> None:
    a, b = two
    (a.path / "one").write_bytes(noise(1_000_000))
    a.sync()
    b.sync()
    shutil.copy2(a.path / "one", a.path / "two")
    assert a.sync().bytes_sent == 0
    assert b.sync().bytes_received == 0
    assert tree(a.path) == tree(b.path)


def test_what_is_deleted_goes_and_stays_away(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("d/x", "x")
    a.write("d/y", "y")
    a.sync()
    b.sync()
    shutil.rmtree(b.path / "d")
    assert b.sync().deleted_remote == 3
    assert Deleted("d/x", Side.REMOTE) in b.events
    assert a.sync().deleted_local == 3
    assert a.names == b.names == []
    for who in (*two, *two):
        assert who.sync().changes == 0


def test_what_was_made_and_deleted_by_another_before_we_looked_again_is_gone(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    b.write("other", "o")
    b.sync()
    a.sync()
    a.write("short", "lived")
    a.sync()
    b.sync()
    (b.path / "short").unlink()
    b.sync()
    a.sync()
    assert a.names == b.names == ["other"]


def test_a_folder_that_goes_here_while_something_in_it_is_deleted_stays_gone(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    a.write("d/x", "x")
    a.write("d/y", "y")
    a.sync()
    b.sync()
    (a.path / "d/x").unlink()
    a.sync()

    async def late(work: Work, plan: Plan, clock: WallClock) -> None:
        shutil.rmtree(b.path / "d", ignore_errors=True)
        await pull(work, plan, clock)

    monkeypatch.setattr("aeorsync.folder.pull.pull", late)
    b.sync()
    a.sync()
    assert a.names == b.names == []


def test_an_edit_beats_a_deletion_both_ways(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("mine", "old")
    a.write("theirs", "old")
    a.sync()
    b.sync()
    a.write("mine", "edited by a")
    (a.path / "theirs").unlink()
    (b.path / "mine").unlink()
    b.write("theirs", "edited by b")
    for who in (a, b, a, b):
        who.sync()
    assert tree(a.path) == tree(b.path)
    assert (b.read("mine"), a.read("theirs")) == ("edited by a", "edited by b")


def test_a_file_may_become_a_folder_and_a_folder_a_file(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("one", "file")
    a.write("two/inner", "folder")
    a.sync()
    b.sync()
    (a.path / "one").unlink()
    a.write("one/inner", "now a folder")
    shutil.rmtree(a.path / "two")
    a.write("two", "now a file")
    a.sync()
    b.sync()
    assert tree(a.path) == tree(b.path)
    assert b.status().conflicts == ()


def test_a_folder_deleted_here_stays_for_what_is_new_in_it_there(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    a.write("d/old", "old")
    a.sync()
    b.sync()
    shutil.rmtree(a.path / "d")
    b.write("d/new", "new")
    for who in (b, a, b, a):
        who.sync()
    assert tree(a.path) == tree(b.path)
    assert a.names == ["d", "d/new"]


def test_a_lost_ledger_makes_no_conflicts_and_brings_nothing_twice(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    for number in range(20):
        a.write(f"d/{number}", f"content {number}")
    a.sync()
    b.sync()
    b.ledger.unlink()
    b.write("d/new", "made meanwhile")
    outcome = b.sync()
    assert (outcome.uploaded, outcome.downloaded, outcome.conflicts) == (1, 0, 0)
    a.sync()
    assert tree(a.path) == tree(b.path)


def test_a_touch_and_a_mode_travel_without_bytes(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("f", "content")
    a.sync()
    b.sync()
    (a.path / "f").chmod(0o755)
    os.utime(a.path / "f", ns=(5, 1_000_000_007))
    a.sync()
    assert b.sync().bytes_received == 0
    assert tree(a.path) == tree(b.path)


# Directions and limits


def test_a_folder_that_only_pulls_keeps_what_was_changed_in_it(person: Make) -> None:
    a, b = person("a"), person("b", Options(direction=Direction.PULL))
    a.write("f", "one")
    a.write("g", "one")
    a.sync()
    b.sync()
    b.write("f", "edited where nobody should")
    b.write("new", "new")
    (b.path / "g").unlink()
    a.write("f", "two")
    a.sync()
    outcome = b.sync()
    assert outcome.uploaded == outcome.deleted_remote == 0
    assert {problem.path for problem in outcome.problems} == {"f", "g", "new"}
    assert {problem.why for problem in outcome.problems} == {Why.LOCAL_CHANGE}
    assert outcome.failures == ()
    assert b.read("f") == "edited where nobody should"
    assert a.sync().changes == 0


def test_a_folder_that_only_pushes_takes_nothing(person: Make) -> None:
    a, b = person("a"), person("b", Options(direction=Direction.PUSH))
    b.write("f", "one")
    b.sync()
    a.sync()
    a.write("f", "edited there")
    a.write("new", "new")
    a.sync()
    outcome = b.sync()
    assert outcome.downloaded == 0
    assert {problem.path for problem in outcome.problems} == {"f", "new"}
    assert b.read("f") == "one"


def test_deletions_may_be_kept_from_travelling(person: Make) -> None:
    keeping = Options(delete_local=False, delete_remote=False)
    a, b = person("a"), person("b", keeping)
    for name in ("x", "y"):
        a.write(name, name)
    a.sync()
    b.sync()
    (a.path / "x").unlink()
    (b.path / "y").unlink()
    a.sync()
    assert b.sync().changes == 0
    assert (a.names, b.names) == (["y"], ["x"])


def test_a_mass_deletion_changes_nothing_until_it_is_allowed(person: Make) -> None:
    a, b = person("a"), person("b", Options())
    for number in range(30):
        a.write(f"{number}", f"{number}")
    a.sync()
    b.sync()
    for number in range(20):
        (b.path / f"{number}").unlink()
    b.write("new", "not sent either")
    with pytest.raises(MassDeletionError, match="20 of 30"):
        b.sync()
    assert a.sync().changes == 0
    b.sync(Options(max_delete=DeleteLimit.parse("100%")))
    a.sync()
    assert tree(a.path) == tree(b.path)


def test_moving_everything_is_no_mass_deletion(person: Make) -> None:
    a = person("a", Options())
    for number in range(30):
        a.write(f"old/{number}", f"{number}")
    a.sync()
    (a.path / "old").rename(a.path / "new")
    assert a.sync().moved == 30


def test_another_folder_in_its_place_stops_before_anything_is_changed(person: Make) -> None:
    a = person("a")
    a.write("f", "f")
    a.sync()
    a.path.rename(a.path.with_name("unmounted"))
    a.path.mkdir()
    with pytest.raises(RootGoneError):
        a.sync()
    shutil.rmtree(a.path)
    with pytest.raises(RootGoneError):
        a.sync()


def test_another_folder_after_a_first_pass_that_broke_off_stops_as_well(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = person("a")
    a.write("x", "x")
    with monkeypatch.context() as patch:
        patch.setattr(FolderSync, "_note", broken_off)
        with pytest.raises(KeyboardInterrupt):
            a.sync()
    a.path.rename(a.path.with_name("elsewhere"))
    a.path.mkdir()
    with pytest.raises(RootGoneError):
        a.sync()


@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.SYMLINK])
def test_what_was_placed_and_not_written_down_is_in_no_conflict_with_what_comes_later(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch, kind: Kind, *, was_there: bool
) -> None:
    a, b = two
    whole = _Pull._settle

    def refused(self: _Pull, takes: list[Take], done: Done) -> None:
        if any(take.told.kind == kind for take in takes):
            raise UnavailableError("the disk refused the ledger")
        whole(self, takes, done)

    def write(what: str) -> None:
        for name in "abc":
            a.write(name, f"{what} {name}")
        (a.path / "link").unlink(missing_ok=True)
        (a.path / "link").symlink_to(what)
        a.sync()

    if was_there:
        write("before")
        b.sync()
    write("first")
    with monkeypatch.context() as patch:
        patch.setattr(_Pull, "_settle", refused)
        with pytest.raises(UnavailableError):
            b.sync()
    placed = "link" if kind is Kind.SYMLINK else "a"
    assert tree(a.path)[placed] == tree(b.path)[placed]
    write("second")
    if kind is Kind.FILE:
        b.write("c", "somebody wrote there before the next pass")
    assert b.sync().conflicts == (kind is Kind.FILE)
    assert (b.read("a"), b.read("b")) == ("second a", "second b")
    assert (b.path / "link").readlink() == Path("second")


def test_a_name_that_waits_since_the_disk_takes_it_for_another_is_not_what_lies_there(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    for name in ("Note", "note"):
        a.write(name, "the same")
        os.utime(a.path / name, ns=(1, 1_234_567_890_123_456_789))
    a.sync()
    fold_case(monkeypatch)
    for _ in range(3):
        b.sync()
    monkeypatch.undo()
    assert len(list(b.path.glob("[Nn]ote"))) == 1
    a.sync()
    assert sorted(path.name for path in a.path.iterdir()) == ["Note", "note"]


def broken_off(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_dry_run_says_what_it_would_do_and_does_nothing(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("there", "there")
    a.sync()
    b.write("here", "here")
    outcome = b.sync(Options(dry_run=True))
    assert outcome.is_dry
    assert {event.path for event in b.events if isinstance(event, Planned)} == {"here", "there"}
    assert b.names == ["here"]
    assert a.sync().changes == 0


def test_what_is_ignored_stays_where_it_is_until_it_is_not(two: tuple[Synced, Synced]) -> None:
    a, b = two
    a.write("keep.txt", "k")
    a.write("skip.log", "s")
    a.write(".aeorsyncignore", "*.log\n")
    a.sync()
    b.sync()
    assert b.names == [".aeorsyncignore", "keep.txt"]
    b.write("own.log", "b")
    b.sync()
    a.sync()
    assert "own.log" not in a.names
    a.write(".aeorsyncignore", "")
    for who in (a, b, a):
        who.sync()
    assert tree(a.path) == tree(b.path)
    assert "own.log" in a.names


def test_what_cannot_travel_is_listed_and_the_rest_goes_on(two: tuple[Synced, Synced]) -> None:
    a, b = two
    os.mkfifo(a.path / "pipe")
    a.write("line\nbreak", "x")
    a.write("fine", "fine")
    outcome = a.sync()
    assert {problem.why for problem in outcome.problems} == {Why.SPECIAL, Why.NAME}
    b.sync()
    assert b.names == ["fine"]


def test_a_folder_here_and_a_file_there_are_a_clash_that_is_left_alone(
    two: tuple[Synced, Synced],
) -> None:
    a, b = two
    a.write("x", "file")
    a.sync()
    b.write("x/inner", "folder")
    outcome = b.sync()
    assert Why.CLASH in {problem.why for problem in outcome.problems}
    assert b.read("x/inner") == "folder"
    b.write("y", "goes on")
    b.sync()
    a.sync()
    assert a.read("y") == "goes on"
    (b.path / "x").rename(b.path / "z")
    for who in (b, a, b):
        who.sync()
    assert tree(a.path) == tree(b.path)


# The server


def test_a_key_the_server_does_not_know_is_a_clear_error(person: Make) -> None:
    a = person("a")
    a.write("f", "f")
    key, a.node.key = a.node.key, "aeor_k_" + "0" * 16 + "_" + "0" * 64
    try:
        with pytest.raises(AeorError, match="401"):
            a.sync()
    finally:
        a.node.key = key


def test_a_path_that_is_a_file_on_the_server_is_no_folder(
    person: Make, node: NodeProcess, tmp_path: Path
) -> None:
    a = person("a")
    a.write("file", "f")
    a.sync()
    other = Synced(tmp_path / "other", node, f"{a.remote}/file", Options())
    with pytest.raises(AeorError, match="not a folder"):
        other.sync()


def test_a_server_put_back_to_nothing_deletes_nothing_en_masse(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "node") as node:
        a = Synced(tmp_path / "a", node, "/", Options())
        for number in range(20):
            a.write(f"{number}", f"{number}")
        a.sync()
        node.kill()
    with NodeProcess(tmp_path / "fresh") as fresh:
        a.node = fresh
        with pytest.raises(MassDeletionError):
            a.sync()
    assert len(a.names) == 20


def test_another_server_in_its_place_costs_no_file_until_that_is_allowed(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "node") as node:
        a = Synced(tmp_path / "a", node, "/", Options())
        a.write("one", "1")
        a.write("both", "of the first")
        a.sync()
        node.kill()
    with NodeProcess(tmp_path / "fresh") as fresh:
        b = Synced(tmp_path / "b", fresh, "/", Options())
        b.write("both", "of the second")
        b.sync()
        a.node = fresh
        for _ in range(2):
            with pytest.raises(MassDeletionError, match=r"1 files .* 1 replaced"):
                a.sync()
            assert (a.read("one"), a.read("both")) == ("1", "of the first")
        a.sync(Options(max_delete=DeleteLimit.parse("100%")))
        assert tree(a.path) == tree(b.path)
        (b.path / "both").unlink()
        b.sync()
        assert a.sync().deleted_local == 1


def test_a_server_put_back_to_an_older_copy_takes_nothing_away(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "node") as node:
        a = Synced(tmp_path / "a", node, "/", Options())
        a.write("edited", "before")
        a.sync()
        node.kill()
    key = node.key
    shutil.copytree(tmp_path / "node", tmp_path / "copy")
    with NodeProcess(tmp_path / "node") as node:
        a.node, node.key = node, key
        a.write("edited", "after")
        a.write("new", "n")
        a.sync()
        node.kill()
    with NodeProcess(tmp_path / "copy") as older:
        a.node, older.key = older, key
        with pytest.raises(MassDeletionError):
            a.sync()
    assert (a.read("edited"), a.read("new")) == ("after", "n")


def test_a_kill_in_the_middle_of_a_deletion_does_not_delete_what_was_made_again(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    for path in ("d/x", "d/y"):
        a.write(path, path)
    a.sync()
    b.sync()
    before = {path: (a.path / path).stat() for path in ("d/x", "d/y")}
    shutil.rmtree(a.path / "d")
    a.sync()
    with monkeypatch.context() as patch:
        patch.setattr(Work, "settle", killed_after_deleting(Work.settle))
        with pytest.raises(KeyboardInterrupt):
            b.sync()
    assert not (b.path / "d").exists()
    for path, stat in before.items():
        a.write(path, path)
        os.utime(a.path / path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    a.sync()
    for who in (b, a):
        who.sync()
        assert (who.read("d/x"), who.read("d/y")) == ("d/x", "d/y")


def killed_after_deleting(settle: Callable[..., None]) -> Callable[..., None]:
    def call(work: Work, settled: Iterable[Settled]) -> None:
        known = list(settled)
        if any(agreed is None for _, agreed in known):
            raise KeyboardInterrupt
        settle(work, known)

    return call


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_changed_back_after_a_kill_stays_changed_back(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    a, b = two
    for path in ("d/x", "d/y"):
        a.write(path, f"{path}, first")
    a.sync()
    b.sync()
    (a.path / "d").rename(a.path / "e")
    a.write("e/x", "second")
    with monkeypatch.context() as patch:
        patch.setattr(Work, "settle_made", killed)
        with pytest.raises(KeyboardInterrupt):
            a.sync()
    if restarted:
        # Then it does not remember the commit, and its effect has to be recognised.
        monkeypatch.setattr(SyncCalls, "committed", unknown)
    shutil.rmtree(a.path / "e")
    for path in ("d/x", "d/y"):
        a.write(path, f"{path}, first")
    for who in (a, a, b):
        who.sync()
    for who in two:
        # Whose an empty folder is cannot be told.
        assert [name for name in who.names if name != "e"] == ["d", "d/x", "d/y"]
        assert who.read("d/x") == "d/x, first"
        assert who.status().conflicts == ()


@pytest.mark.parametrize("how", ["deleted", "deleted by another", "moved"])
def test_what_was_away_and_is_back_as_it_was_can_be_edited(
    two: tuple[Synced, Synced], how: str
) -> None:
    a, b = two
    a.write("f", "old")
    a.sync()
    b.sync()
    if how == "moved":
        (a.path / "f").rename(a.path / "g")
    else:
        ((a if how == "deleted" else b).path / "f").unlink()
    for who in (b, a):
        who.sync()
    if how == "moved":
        (a.path / "g").rename(a.path / "f")
    else:
        a.write("f", "old")
    a.sync()
    a.write("f", "edited")
    assert a.sync().conflicts == 0
    b.sync()
    assert b.status().conflicts == ()
    assert b.read("f") == "edited"


@pytest.mark.parametrize("came", [True, False], ids=["came", "never came"])
def test_what_nobody_heard_the_answer_of_is_heard_before_we_stand_after_what_came_later(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch, *, came: bool
) -> None:
    a, b = two
    a.write("other", "text")
    for who in (a, b, a):
        who.sync()
    again = Look("retry", frozenset({"x"}), remote=False, waiting=True)
    whole = SyncCalls.commit

    async def unheard(client: SyncCalls, *given: object) -> None:
        if came:
            await whole(client, *given)  # type: ignore[arg-type]
        raise UnavailableError("the answer was lost")

    a.write("x", "text")
    with monkeypatch.context() as patch:
        patch.setattr(SyncCalls, "commit", unheard)
        with pytest.raises(UnavailableError):
            a.look(again)
    b.sync()
    if came:
        (b.path / "x").unlink()
        b.sync()  # so the server is where a stands
    a.look(again)
    for who in (a, b, a, b):
        who.sync()
    assert tree(a.path) == tree(b.path)
    a.write("x", "edited")
    assert a.sync().conflicts == 0


@pytest.mark.parametrize("then", ["a folder", "the same", "an edit", "nothing"])
def test_a_deletion_that_was_never_sent_leaves_nothing_behind(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    a, b = two
    a.write("x", "first")
    look = (a.path / "x").stat()
    a.sync()
    b.sync()
    (a.path / "x").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(SyncCalls, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            a.sync()
    match then:
        case "a folder":
            a.write("x/inside", "in")
        case "the same":
            a.write("x", "first")
            os.utime(a.path / "x", ns=(look.st_atime_ns, look.st_mtime_ns))
        case "an edit":
            a.write("x", "second")
        case _:
            pass
    wanted = tree(a.path)
    # Other rules: all is told anew, also what nobody changed there.
    a.options = Options(exclude=("nothing of that name",))
    for who in (a, b, a):
        who.sync()
    assert tree(a.path) == tree(b.path) == wanted
    assert a.status().conflicts == ()
    if then == "a folder":
        (a.path / "x").rename(a.path / "y")
        for who in (a, b):
            who.sync()
        assert a.names == b.names == ["y", "y/inside"]


@pytest.mark.parametrize("act", ["edited", "deleted"])
def test_a_dry_run_knows_what_was_sent_and_never_answered(
    two: tuple[Synced, Synced], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    a, b = two
    a.write("seen", "seen")
    a.sync()
    a.write("f", "first")
    with monkeypatch.context() as patch:
        patch.setattr(Work, "settle_made", killed)
        with pytest.raises(KeyboardInterrupt):
            a.sync()
    monkeypatch.setattr(SyncCalls, "committed", unknown)
    if act == "edited":
        a.write("f", "second")
    else:
        (a.path / "f").unlink()
    dry = a.sync(Options(dry_run=True))
    assert (dry.uploaded, dry.deleted_remote) == ((1, 0) if act == "edited" else (0, 1))
    assert (dry.downloaded, dry.problems) == (0, ())
    assert a.sync().changes == 1
    b.sync()
    assert tree(a.path) == tree(b.path)
    assert b.status().conflicts == ()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


async def unknown(_: object, name: str) -> None:
    raise NotFoundError(name)
