"""The folder client's decision about one path: last agreed, disk, server -> what to do.

*Agreed* is what both sides last had, so each side is unchanged or it is not; clocks decide
nothing. *Touched* means that only the times or the executable bit changed, *edited* anything more:
the content, the target of a link, the kind. *Gone* is what was agreed on and is missing now.

    disk         server:  unchanged       touched         edited               gone
    ----                  ---------       -------         ------               ----
    unchanged             nothing         download        download             delete here
    touched               upload          upload *        download             delete here
    edited                upload          upload *        upload, older base   upload, no base
    gone                  delete there    delete there *  download             forget

    *              with the server's version as the base: it has been seen
    never agreed   what is on one side goes to the other; on both: as edited, with no base

Whatever the table says: sides of equal content are never in conflict. Where only their times or
bits differ, the side that changed is right, or the server's where nobody can tell. *Upload with an
older base* is a conflict: the server keeps both versions. A folder and something else cannot both
be kept under one name: that is a *clash*, which is listed and left alone.

All that holds where the server has seen what was agreed. Where it has not, as after it was put
back to an older copy, `restate` decides.

A direction takes verbs away; what it leaves undone is *kept* and listed:

    verb                          pull     push     and only if
    ----                          ----     ----     -----------
    download                      yes      -
    delete here                   yes      -        ``delete_local``
    upload                        -        yes
    delete there                  -        yes      ``delete_remote``
    record, forget                yes      yes
"""

from enum import Enum
from typing import NamedTuple

from aeorsync.core.versions import Kind


class Direction(Enum):
    """Which way changes travel; the value is its word for people."""

    BOTH = "both"
    PULL = "pull"
    PUSH = "push"


class State(NamedTuple):
    """What is at a path. Nothing is None.

    Attributes:
        kind: Of it.
        content: Hash of a file's bytes; a link's target in UTF-8; empty for a folder.
        executable: The one mode bit that matters; of files only.
        mtime_ns: When its content changed, nanoseconds since the Unix epoch; 0 for a folder.
    """

    kind: Kind
    content: bytes = b""
    executable: bool = False
    mtime_ns: int = 0


FOLDER = State(Kind.DIRECTORY)


class Verb(Enum):
    """What to do to a path."""

    NOTHING = "nothing"
    RECORD = "record"
    FORGET = "forget"
    DOWNLOAD = "download"
    UPLOAD = "upload"
    DELETE_LOCAL = "delete here"
    DELETE_REMOTE = "delete there"
    KEEP = "keep"


class Base(Enum):
    """What the writer of an upload or a deletion says to have seen."""

    AGREED = "what was agreed"
    REMOTE = "what the server has now"
    NOTHING = "nothing"


class Reason(Enum):
    """Why both sides stay as they are."""

    LOCAL_CHANGE = "changed here, and changes here do not travel"
    REMOTE_CHANGE = "changed there, and changes there do not travel"
    CLASH = "a folder on one side and something else on the other"


class Policy(NamedTuple):
    """What a person allows."""

    direction: Direction = Direction.BOTH
    delete_local: bool = True
    delete_remote: bool = True


class Decision(NamedTuple):
    """What to do to a path.

    Attributes:
        verb: What.
        base: For an upload or a deletion there: what was seen.
        is_conflict: For an upload: the server will have two versions.
        reason: For what is kept: why.
    """

    verb: Verb
    base: Base = Base.AGREED
    is_conflict: bool = False
    reason: Reason | None = None


_NOTHING = Decision(Verb.NOTHING)
_DOWNLOAD = Decision(Verb.DOWNLOAD)
_UPLOAD = Decision(Verb.UPLOAD)
_CLASH = Decision(Verb.KEEP, reason=Reason.CLASH)
_LOCAL_CHANGE = Decision(Verb.KEEP, reason=Reason.LOCAL_CHANGE)
_REMOTE_CHANGE = Decision(Verb.KEEP, reason=Reason.REMOTE_CHANGE)


def reconcile(
    agreed: State | None, local: State | None, remote: State | None, policy: Policy
) -> Decision:
    """Decide about one path. Total: every combination has an answer.

    Args:
        agreed: What both sides last had.
        local: What is on the disk.
        remote: What the server shows.
        policy: What a person allows.
    """
    return _allowed(_decide(agreed, local, remote, policy.direction), policy)


def restate(local: State | None, remote: State | None, policy: Policy) -> Decision:
    """Decide about a path where the server has never seen what was agreed.

    What is here was made from that, so it is stated again as what it is: later than all that was
    seen, and beside whatever was not.
    """
    if local == remote:
        return Decision(Verb.FORGET if local is None else Verb.RECORD)
    if local is None:
        return _allowed(Decision(Verb.DELETE_REMOTE), policy)
    folders = (local.kind is Kind.DIRECTORY, remote is not None and remote.kind is Kind.DIRECTORY)
    if remote is not None and any(folders):
        return _CLASH
    return _allowed(_UPLOAD, policy)


def is_same(one: State | None, other: State | None) -> bool:
    """Whether two states have equal content: times and the executable bit aside."""
    if one is None or other is None:
        return one is other
    return one.kind is other.kind and one.content == other.content


def _decide(
    agreed: State | None, local: State | None, remote: State | None, direction: Direction
) -> Decision:
    if local == remote:
        return _equal(agreed, local)
    if local == agreed:
        return _taken(remote)
    if remote == agreed:
        return _given(local)
    if local is None or remote is None:
        return _half_gone(agreed, local, remote)
    if is_same(local, remote):
        return _touched(agreed, local, remote, direction)
    return _edited(agreed, local, remote)


def _equal(agreed: State | None, both: State | None) -> Decision:
    if both == agreed:
        return _NOTHING
    return Decision(Verb.FORGET if both is None else Verb.RECORD)


def _taken(remote: State | None) -> Decision:
    """Only the server's side changed."""
    return Decision(Verb.DELETE_LOCAL) if remote is None else _DOWNLOAD


def _given(local: State | None) -> Decision:
    """Only our side changed."""
    return Decision(Verb.DELETE_REMOTE) if local is None else _UPLOAD


def _half_gone(agreed: State | None, local: State | None, remote: State | None) -> Decision:
    """One side deleted it, the other one changed it: a mere touch does not hold that up."""
    if local is None:
        if is_same(remote, agreed):
            return Decision(Verb.DELETE_REMOTE, Base.REMOTE)
        return _DOWNLOAD
    if is_same(local, agreed):
        return Decision(Verb.DELETE_LOCAL)
    return Decision(Verb.UPLOAD, Base.NOTHING)


def _touched(agreed: State | None, local: State, remote: State, direction: Direction) -> Decision:
    """The content is equal; times or the executable bit are not."""
    if agreed is None:
        ours = direction is Direction.PUSH
    elif local.executable != remote.executable:
        ours = local.executable != agreed.executable
    else:
        ours = remote.mtime_ns == agreed.mtime_ns
    return Decision(Verb.UPLOAD, Base.REMOTE) if ours else _DOWNLOAD


def _edited(agreed: State | None, local: State, remote: State) -> Decision:
    """The content differs, and at least one side is not as agreed on."""
    if Kind.DIRECTORY in {local.kind, remote.kind}:
        return _CLASH
    if is_same(local, agreed):
        return _DOWNLOAD
    if is_same(remote, agreed):
        return Decision(Verb.UPLOAD, Base.REMOTE)
    return Decision(Verb.UPLOAD, _oldest(agreed), is_conflict=True)


def _oldest(agreed: State | None) -> Base:
    # A folder has no version that could be named.
    if agreed is None or agreed.kind is Kind.DIRECTORY:
        return Base.NOTHING
    return Base.AGREED


def _allowed(decision: Decision, policy: Policy) -> Decision:
    pulls = policy.direction is not Direction.PUSH
    pushes = policy.direction is not Direction.PULL
    match decision.verb:
        case Verb.DOWNLOAD:
            return decision if pulls else _REMOTE_CHANGE
        case Verb.DELETE_LOCAL:
            return decision if pulls and policy.delete_local else _REMOTE_CHANGE
        case Verb.UPLOAD:
            return decision if pushes else _LOCAL_CHANGE
        case Verb.DELETE_REMOTE:
            return decision if pushes and policy.delete_remote else _LOCAL_CHANGE
        case Verb.NOTHING | Verb.RECORD | Verb.FORGET | Verb.KEEP:
            return decision
