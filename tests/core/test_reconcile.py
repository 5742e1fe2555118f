"""The decision about one path, for every combination of three states."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.reconcile import (
    FOLDER,
    Base,
    Decision,
    Direction,
    Policy,
    Reason,
    State,
    Verb,
    is_same,
    reconcile,
)
from aeorsync.core.versions import Kind

STATES = [
    None,
    FOLDER,
    State(Kind.SYMLINK, b"a", mtime_ns=1),
    State(Kind.SYMLINK, b"b", mtime_ns=2),
    *(
        State(Kind.FILE, content, executable, mtime)
        for content in (b"one", b"two", b"three")
        for executable in (False, True)
        for mtime in (1, 2)
    ),
]
POLICIES = [
    Policy(direction, delete_local, delete_remote)
    for direction in Direction
    for delete_local in (True, False)
    for delete_remote in (True, False)
]
EVERYTHING = Policy()
states = st.sampled_from(STATES)
policies = st.sampled_from(POLICIES)
MIRROR = {
    Verb.DOWNLOAD: Verb.UPLOAD,
    Verb.UPLOAD: Verb.DOWNLOAD,
    Verb.DELETE_LOCAL: Verb.DELETE_REMOTE,
    Verb.DELETE_REMOTE: Verb.DELETE_LOCAL,
}


def contents(*some: State | None) -> set[tuple[Kind, bytes]]:
    return {(state.kind, state.content) for state in some if state is not None}


def after(  # noqa: C901  # one case per verb  # one case per verb
    decision: Decision, agreed: State | None, local: State | None, remote: State | None
) -> tuple[State | None, State | None, State | None, set[tuple[Kind, bytes]]]:
    """What is agreed, here, there, and kept beside it as a conflict, once it was done."""
    kept = set()
    match decision.verb:
        case Verb.DOWNLOAD:
            agreed = local = remote
        case Verb.UPLOAD:
            if decision.is_conflict:
                kept = contents(remote)
            agreed = remote = local
        case Verb.DELETE_LOCAL:
            agreed = local = None
        case Verb.DELETE_REMOTE:
            agreed = remote = None
        case Verb.RECORD:
            agreed = local
        case Verb.FORGET:
            agreed = None
        case Verb.NOTHING | Verb.KEEP:
            pass
    return agreed, local, remote, kept


@given(states, states, states, policies)
def test_doing_it_loses_no_content_that_only_one_side_has(
    agreed: State | None, local: State | None, remote: State | None, policy: Policy
) -> None:
    decision = reconcile(agreed, local, remote, policy)
    _, here, there, kept = after(decision, agreed, local, remote)
    lost = contents(local, remote) - contents(here, there) - kept
    # What both sides agreed on is what one of them edited or deleted on purpose.
    assert lost <= contents(agreed)


@given(states, states, states, policies)
def test_once_done_there_is_nothing_left_to_do(
    agreed: State | None, local: State | None, remote: State | None, policy: Policy
) -> None:
    decision = reconcile(agreed, local, remote, policy)
    now_agreed, here, there, _ = after(decision, agreed, local, remote)
    again = reconcile(now_agreed, here, there, policy)
    if decision.verb is Verb.KEEP:
        assert again == decision
    else:
        assert again.verb is Verb.NOTHING


@given(states, states, states)
def test_the_sides_are_treated_alike(
    agreed: State | None, local: State | None, remote: State | None
) -> None:
    one = reconcile(agreed, local, remote, EVERYTHING)
    other = reconcile(agreed, remote, local, EVERYTHING)
    if one.is_conflict or other.is_conflict:
        assert one == other
    elif local is not None and remote is not None and is_same(local, remote):
        pass  # where nobody can tell whose times are right, the server's are
    else:
        assert other.verb is MIRROR.get(one.verb, one.verb)


@given(states, states, states, policies)
def test_equal_contents_are_never_in_conflict(
    agreed: State | None, local: State | None, remote: State | None, policy: Policy
) -> None:
    decision = reconcile(agreed, local, remote, policy)
    if is_same(local, remote):
        assert not decision.is_conflict
        assert decision.reason is not Reason.CLASH


@given(states, states, states, policies)
def test_only_what_is_as_agreed_is_deleted(
    agreed: State | None, local: State | None, remote: State | None, policy: Policy
) -> None:
    verb = reconcile(agreed, local, remote, policy).verb
    if verb is Verb.DELETE_LOCAL:
        assert remote is None
        assert is_same(local, agreed)
    if verb is Verb.DELETE_REMOTE:
        assert local is None
        assert is_same(remote, agreed)


@given(states, states, states, policies)
def test_a_direction_is_never_left(
    agreed: State | None, local: State | None, remote: State | None, policy: Policy
) -> None:
    verb = reconcile(agreed, local, remote, policy).verb
    if policy.direction is Direction.PULL:
        assert verb not in {Verb.UPLOAD, Verb.DELETE_REMOTE}
    if policy.direction is Direction.PUSH:
        assert verb not in {Verb.DOWNLOAD, Verb.DELETE_LOCAL}
    if not policy.delete_local:
        assert verb is not Verb.DELETE_LOCAL
    if not policy.delete_remote:
        assert verb is not Verb.DELETE_REMOTE


def test_a_change_on_one_side_never_waits_where_everything_is_allowed() -> None:
    for agreed, other in itertools.permutations(STATES, 2):
        assert reconcile(agreed, other, agreed, EVERYTHING).verb in {
            Verb.UPLOAD,
            Verb.DELETE_REMOTE,
        }
        assert reconcile(agreed, agreed, other, EVERYTHING).verb in {
            Verb.DOWNLOAD,
            Verb.DELETE_LOCAL,
        }


OLD = State(Kind.FILE, b"old", mtime_ns=1)
MINE = State(Kind.FILE, b"mine", mtime_ns=2)
THEIRS = State(Kind.FILE, b"theirs", mtime_ns=3)
TOUCHED = State(Kind.FILE, b"old", mtime_ns=9)


@pytest.mark.parametrize(
    ("agreed", "local", "remote", "expected"),
    [
        (OLD, MINE, THEIRS, Decision(Verb.UPLOAD, Base.AGREED, is_conflict=True)),
        (None, MINE, THEIRS, Decision(Verb.UPLOAD, Base.NOTHING, is_conflict=True)),
        (FOLDER, MINE, THEIRS, Decision(Verb.UPLOAD, Base.NOTHING, is_conflict=True)),
        (OLD, MINE, None, Decision(Verb.UPLOAD, Base.NOTHING)),
        (OLD, None, THEIRS, Decision(Verb.DOWNLOAD)),
        (OLD, None, TOUCHED, Decision(Verb.DELETE_REMOTE, Base.REMOTE)),
        (OLD, TOUCHED, None, Decision(Verb.DELETE_LOCAL)),
        (OLD, MINE, TOUCHED, Decision(Verb.UPLOAD, Base.REMOTE)),
        (OLD, TOUCHED, THEIRS, Decision(Verb.DOWNLOAD)),
        (None, OLD, TOUCHED, Decision(Verb.DOWNLOAD)),
        (OLD, None, None, Decision(Verb.FORGET)),
        (None, OLD, OLD, Decision(Verb.RECORD)),
        (None, FOLDER, THEIRS, Decision(Verb.KEEP, reason=Reason.CLASH)),
        (OLD, FOLDER, OLD, Decision(Verb.UPLOAD)),
        (OLD, OLD, FOLDER, Decision(Verb.DOWNLOAD)),
    ],
)
def test_the_table(
    agreed: State | None, local: State | None, remote: State | None, expected: Decision
) -> None:
    assert reconcile(agreed, local, remote, EVERYTHING) == expected
