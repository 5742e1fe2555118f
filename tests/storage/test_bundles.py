"""Bundles: many changes in one step, from the bases their writers state."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aeorsync.core.access import EVERYTHING
from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import see
from aeorsync.core.paths import parse
from aeorsync.core.versions import Content, Entry, Kind, Vector, Version
from aeorsync.errors import AeorError, BadRequestError, PreconditionError, StaleError
from aeorsync.storage.bundles import Bundle, Delete, Done, Folder, Outcome, Put, run
from aeorsync.storage.changes import FileState, LinkState
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from tests.support.repositories import entry_at, exchange, files, get, memory_repository, put


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = memory_repository()
    yield made
    made.close()


def stated(
    repository: Repository, path: str, data: bytes, base: Vector | None = None, **state: object
) -> Put:
    content = repository.store_small(data)
    file = FileState(content, "text/plain", **state)  # type: ignore[arg-type]
    return Put(parse(path), file, base)


def link(path: str, target: str, base: Vector | None = None) -> Put:
    data = target.encode()
    return Put(parse(path), LinkState(target, Content(content_hash(data), len(data))), base)


def commit(
    repository: Repository,
    *puts: Put,
    deletes: Sequence[Delete] = (),
    folders: Sequence[Folder] = (),
    refuses: bool = False,
    knows: bool = False,
) -> Outcome:
    known = repository.known() if knows else None
    bundle = Bundle(EVERYTHING, deletes, folders, puts, refuses, known)
    return repository.commit(lambda draft: run(draft, bundle)).result(30)


def one(repository: Repository, change: Put, *, refuses: bool = False) -> Done:
    [done] = commit(repository, change, refuses=refuses).puts
    return done


def seen(version: Version | None) -> Vector:
    """What a client that read or wrote just this version has seen."""
    assert version is not None
    return Entry((version,)).context


def shown(repository: Repository, path: str) -> list[bytes]:
    """The bytes of the winner and of the losers; a deletion has none."""
    entry = entry_at(repository, path)
    if entry is None:
        return []
    sight = see(entry)
    versions = [version for version in (sight.winner, *sight.losers) if not version.deleted]
    return [b"".join(repository.read(version.content)) for version in versions]


def kinds_of_conflict(repository: Repository, path: str) -> str | None:
    entry = entry_at(repository, path)
    return None if entry is None else see(entry).conflict_type


# Bases


def test_an_edit_of_the_current_version_replaces_it(repository: Repository) -> None:
    first = one(repository, stated(repository, "/a", b"1", base=()))
    second = one(repository, stated(repository, "/a", b"2", base=seen(first.version)))
    assert shown(repository, "/a") == [b"2"]
    assert not second.is_conflict


def test_an_edit_of_an_older_version_stays_beside_what_came_since(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    put(repository, "/a", b"theirs")
    mine = one(repository, stated(repository, "/a", b"mine", base=base))
    assert mine.is_conflict
    assert sorted(shown(repository, "/a")) == [b"mine", b"theirs"]


def test_both_sides_of_such_a_conflict_know_what_they_were_made_from(
    repository: Repository,
) -> None:
    base = seen(put(repository, "/a", b"1"))
    put(repository, "/a", b"theirs")
    one(repository, stated(repository, "/a", b"mine", base=base))
    entry = entry_at(repository, "/a")
    assert entry is not None
    assert {version.base for version in entry.versions} == {content_hash(b"1")}


def test_who_edits_the_bytes_does_not_overrule_who_changed_the_mode(
    repository: Repository,
) -> None:
    base = seen(put(repository, "/a", b"1"))
    put(repository, "/a", b"1", executable=True)
    assert one(repository, stated(repository, "/a", b"mine", base=base)).is_conflict


def test_the_same_edit_made_twice_is_no_conflict(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    put(repository, "/a", b"2")
    head = repository.head
    done = one(repository, stated(repository, "/a", b"2", base=base))
    assert not done.is_conflict
    assert repository.head == head


@pytest.mark.parametrize("refuses", [False, True])
def test_a_commit_sent_again_changes_nothing(repository: Repository, *, refuses: bool) -> None:
    base = seen(put(repository, "/a", b"1"))
    gone = seen(put(repository, "/gone", b"1"))
    change = stated(repository, "/a", b"2", base=base, mtime=5, executable=True)
    new = stated(repository, "/new", b"3", base=(), mtime=6)
    pointer = link("/l", "a", base=())

    def send() -> Outcome:
        return commit(
            repository,
            change,
            new,
            pointer,
            deletes=[Delete(parse("/gone"), gone)],
            folders=[Folder(parse("/f"))],
            refuses=refuses,
        )

    first = send()
    head = repository.head
    again = send()
    assert repository.head == head
    assert again.puts == first.puts


def test_an_edit_of_a_loser_leaves_the_winner_alone(repository: Repository) -> None:
    put(repository, "/a", b"loser", base=())
    winner = put(repository, "/a", b"winner", base=())
    loser = see(entry_at(repository, "/a") or Entry(())).losers[0]
    edit = stated(repository, "/a", b"edited", base=seen(loser))
    again = stated(repository, "/a", b"winner", base=seen(winner))
    outcome = commit(repository, edit, again)
    assert shown(repository, "/a") == [b"winner", b"edited"]
    assert [done.is_conflict for done in outcome.puts] == [True, True]
    head = repository.head
    assert commit(repository, edit, again).puts[1].version == outcome.puts[1].version
    assert repository.head == head


def test_an_edit_of_the_winner_leaves_the_losers_alone(repository: Repository) -> None:
    put(repository, "/a", b"loser", base=())
    winner = put(repository, "/a", b"winner", base=())
    done = one(repository, stated(repository, "/a", b"edited", base=seen(winner)))
    assert done.is_conflict
    assert shown(repository, "/a") == [b"edited", b"loser"]


def test_to_make_both_sides_equal_ends_the_conflict(repository: Repository) -> None:
    put(repository, "/a", b"loser", base=())
    put(repository, "/a", b"winner", base=())
    loser = see(entry_at(repository, "/a") or Entry(())).losers[0]
    done = one(repository, stated(repository, "/a", b"winner", base=seen(loser)))
    assert not done.is_conflict
    assert shown(repository, "/a") == [b"winner"]


def test_an_edit_brings_back_what_was_deleted_meanwhile(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    commit(repository, deletes=[Delete(parse("/a"))])
    assert one(repository, stated(repository, "/a", b"2", base=base)).is_conflict
    assert get(repository, "/a") == b"2"


# Deleting


def test_a_delete_does_not_touch_what_it_had_not_seen(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    put(repository, "/a", b"2")
    [done] = commit(repository, deletes=[Delete(parse("/a"), base)]).deletes
    assert done.is_conflict
    assert get(repository, "/a") == b"2"
    assert kinds_of_conflict(repository, "/a") == "ModifyDelete"
    head = repository.head
    commit(repository, deletes=[Delete(parse("/a"), base)])
    assert repository.head == head


def test_to_delete_the_winner_does_not_drop_the_loser(repository: Repository) -> None:
    put(repository, "/a", b"loser", base=())
    winner = put(repository, "/a", b"winner", base=())
    commit(repository, deletes=[Delete(parse("/a"), seen(winner))])
    assert shown(repository, "/a") == [b"loser"]


def test_to_delete_the_loser_does_not_drop_the_winner(repository: Repository) -> None:
    put(repository, "/a", b"loser", base=())
    put(repository, "/a", b"winner", base=())
    loser = see(entry_at(repository, "/a") or Entry(())).losers[0]
    commit(repository, deletes=[Delete(parse("/a"), seen(loser))])
    assert shown(repository, "/a") == [b"winner"]


def test_what_is_gone_may_be_deleted_again(repository: Repository) -> None:
    outcome = commit(repository, deletes=[Delete(parse("/never"))])
    assert outcome.deletes == [Done(parse("/never"))]


def test_what_has_not_come_here_yet_cannot_be_deleted_here(repository: Repository) -> None:
    """Whoever heard that it was done would see it come back when the file arrives."""
    other = memory_repository(8)
    base = seen(put(other, "/a", b"not there yet"))
    put(repository, "/b", b"stays")
    with pytest.raises(StaleError, match="not here yet") as caught:
        commit(repository, deletes=[Delete(parse("/b")), Delete(parse("/a"), base)], knows=True)
    assert caught.value.path == "/a"
    assert files(repository) == {"/b": b"stays"}
    exchange(other, repository)
    commit(repository, deletes=[Delete(parse("/a"), base)], knows=True)
    exchange(other, repository)
    assert files(other) == {"/b": b"stays"}
    other.close()


def test_what_was_deleted_and_forgotten_may_be_deleted_again(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    commit(repository, deletes=[Delete(parse("/a"), base)], knows=True)
    commit(repository, deletes=[Delete(parse("/a"), base)], knows=True)
    entry = entry_at(repository, "/a")
    assert entry is not None
    assert repository.forget([(b"a", entry)]).result(30) == 1
    commit(repository, deletes=[Delete(parse("/a"), base)], knows=True)
    assert entry_at(repository, "/a") is None


def test_a_folder_goes_when_what_is_in_it_goes_before(repository: Repository) -> None:
    put(repository, "/d/a", b"1")
    put(repository, "/d/e/b", b"1")
    commit(repository, deletes=[Delete(parse(p)) for p in ("/d/a", "/d/e/b", "/d/e", "/d")])
    assert entry_at(repository, "/d") is not None
    assert not see(entry_at(repository, "/d") or Entry(())).is_live


def test_a_folder_with_something_in_it_refuses_the_whole(repository: Repository) -> None:
    put(repository, "/d/a", b"1")
    put(repository, "/b", b"1")
    with pytest.raises(BadRequestError) as caught:
        commit(repository, deletes=[Delete(parse("/b")), Delete(parse("/d"))])
    assert caught.value.path == "/d"
    assert get(repository, "/b") == b"1"


def test_a_file_that_became_a_folder_is_not_deleted_as_a_file(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    commit(repository, deletes=[Delete(parse("/a"))])
    put(repository, "/a/inside", b"2")
    commit(repository, deletes=[Delete(parse("/a"), base)])
    assert get(repository, "/a/inside") == b"2"


def test_a_path_may_change_its_kind_in_one_step(repository: Repository) -> None:
    put(repository, "/x", b"file")
    put(repository, "/y/inside", b"1")
    commit(
        repository,
        stated(repository, "/x/inside", b"2", base=()),
        stated(repository, "/y", b"file now", base=()),
        deletes=[Delete(parse(path)) for path in ("/x", "/y/inside", "/y")],
    )
    assert files(repository) == {"/x/inside": b"2", "/y": b"file now"}


# Refusing


def test_refusing_lets_current_bases_pass(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"1"))
    one(repository, stated(repository, "/a", b"2", base=base), refuses=True)
    one(repository, stated(repository, "/b", b"2", base=()), refuses=True)
    one(repository, stated(repository, "/b", b"3"), refuses=True)
    assert files(repository) == {"/a": b"2", "/b": b"3"}


@pytest.mark.parametrize("case", ["edited", "made", "deleted", "touched"])
def test_refusing_lets_no_other_base_pass(repository: Repository, case: str) -> None:
    base: Vector = seen(put(repository, "/a", b"1"))
    if case == "deleted":
        commit(repository, deletes=[Delete(parse("/a"))])
    elif case == "edited":
        put(repository, "/a", b"2")
    elif case == "touched":
        put(repository, "/a", b"1", mtime=7)
    else:
        base = ()
    head = repository.head
    other = stated(repository, "/other", b"4", base=())
    with pytest.raises(PreconditionError) as caught:
        commit(repository, other, stated(repository, "/a", b"3", base=base), refuses=True)
    assert caught.value.path == "/a"
    assert repository.head == head


def test_refusing_lets_no_delete_pass_that_had_not_seen_what_is_there(
    repository: Repository,
) -> None:
    base = seen(put(repository, "/a", b"1"))
    put(repository, "/a", b"2")
    with pytest.raises(PreconditionError):
        commit(repository, deletes=[Delete(parse("/a"), base)], refuses=True)
    assert get(repository, "/a") == b"2"


def test_who_refuses_may_still_edit_one_side_of_an_old_conflict(repository: Repository) -> None:
    put(repository, "/a", b"loser", base=())
    winner = put(repository, "/a", b"winner", base=())
    one(repository, stated(repository, "/a", b"edited", base=seen(winner)), refuses=True)
    assert shown(repository, "/a") == [b"edited", b"loser"]


# Against a model

CLIENTS = ("ann", "bob")
NAMES = ("/a", "/b", "/d/a", "/d/b", "/d/e/a")


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """Commits of two clients: who, and (what, path, content) of each change."""
    change = st.tuples(
        st.sampled_from(("put", "delete")), st.sampled_from(NAMES), st.integers(0, 3)
    )
    commits = st.tuples(
        st.sampled_from(CLIENTS),
        st.lists(change, min_size=1, max_size=4, unique_by=lambda item: item[1]),
    )
    return draw(st.lists(commits, max_size=12))


@settings(deadline=None, max_examples=150)
@given(steps(), st.booleans())
def test_nothing_that_was_committed_is_lost_unless_its_writer_had_seen_it(
    commits: list[tuple[str, list[tuple[str, str, int]]]],
    twice: bool,  # noqa: FBT001
) -> None:
    """Clients that never read: each knows only what it wrote, so the others' stays."""
    repository = memory_repository()
    try:
        knows: dict[tuple[str, str], Vector] = {}
        last: dict[tuple[str, str], bytes | None] = {}
        for number, (who, changes) in enumerate(commits):
            puts, deletes = [], []
            for what, path, content in changes:
                base = knows.get((who, path), ())
                if what == "put":
                    # Of equal bytes it does not matter whose they were.
                    data = b"%s %d" % (who.encode(), content)
                    puts.append(stated(repository, path, data, base, mtime=number))
                else:
                    deletes.append(Delete(parse(path), base))
            outcome = commit(repository, *puts, deletes=deletes)
            if twice:
                head = repository.head
                again = commit(repository, *puts, deletes=deletes)
                assert repository.head == head
                assert [done.version for done in again.puts] == [
                    done.version for done in outcome.puts
                ]
            for done in (*outcome.puts, *outcome.deletes):
                if done.version is not None:
                    knows[who, done.path] = seen(done.version)
                    deleted = done.version.deleted
                    last[who, done.path] = (
                        None if deleted else b"".join(repository.read(done.version.content))
                    )
        for path in NAMES:
            kept = {data for (_, at), data in last.items() if at == path and data is not None}
            assert kept <= set(shown(repository, path)), path
            assert len(shown(repository, path)) <= len(CLIENTS)
    finally:
        repository.close()


class Broken(Exception):  # noqa: N818 - what a test injects
    pass


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(("put", "delete", "folder", "link")), st.sampled_from(NAMES)),
        min_size=1,
        max_size=8,
        unique_by=lambda item: item[1],
    ),
    st.integers(0, 7),
)
def test_a_bundle_that_fails_half_way_leaves_nothing(
    wanted: list[tuple[str, str]], fails_at: int
) -> None:
    repository = memory_repository()
    try:
        put(repository, "/a", b"old")
        put(repository, "/d/b", b"old")
        before, contents = repository.head, files(repository)
        puts = [stated(repository, p, b"new") for what, p in wanted if what == "put"]
        links = [link(path, "x") for what, path in wanted if what == "link"]
        bundle = Bundle(
            EVERYTHING,
            [Delete(parse(path)) for what, path in wanted if what == "delete"],
            [Folder(parse(path)) for what, path in wanted if what == "folder"],
            [*puts, *links],
        )

        def operation(draft: Draft) -> None:
            count = 0
            write = draft.write

            def failing(*args: object, **fields: object) -> Version:
                nonlocal count
                if count == fails_at:
                    raise Broken
                count += 1
                return write(*args, **fields)  # type: ignore[arg-type]

            draft.write = failing  # type: ignore[method-assign]
            try:
                run(draft, bundle)
                raise Broken
            finally:
                draft.write = write  # type: ignore[method-assign]

        with pytest.raises((Broken, AeorError)):
            repository.commit(operation).result(30)
        assert repository.head == before
        assert files(repository) == contents
    finally:
        repository.close()


def test_commits_at_once_leave_all_of_one_and_all_of_the_others(repository: Repository) -> None:
    base = {path: seen(put(repository, path, b"0")) for path in ("/a", "/b", "/c")}

    def edit(number: int) -> Outcome | None:
        puts = [stated(repository, path, b"%d" % number, base[path]) for path in base]
        try:
            return commit(repository, *puts, refuses=True)
        except PreconditionError:
            return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(edit, range(1, 17)))
    assert sum(outcome is not None for outcome in outcomes) == 1
    assert len(set(files(repository).values())) == 1


def test_what_is_committed_at_once_without_refusing_is_all_kept(repository: Repository) -> None:
    base = seen(put(repository, "/a", b"0"))
    puts = [stated(repository, "/a", b"%d" % number, base) for number in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda change: commit(repository, change), puts))
    assert sorted(shown(repository, "/a")) == [b"%d" % number for number in range(1, 9)]


def test_links_and_folders_have_the_times_they_were_given(repository: Repository) -> None:
    pointer = link("/l", "x")
    assert isinstance(pointer.state, LinkState)
    timed = replace(pointer, state=msgspec.structs.replace(pointer.state, mtime=5))
    commit(repository, timed, folders=[Folder(parse("/f"), 7)])
    versions = [(entry_at(repository, path) or Entry(())).versions[0] for path in ("/l", "/f")]
    assert [(version.kind, version.mtime) for version in versions] == [
        (Kind.SYMLINK, 5),
        (Kind.DIRECTORY, 7),
    ]
