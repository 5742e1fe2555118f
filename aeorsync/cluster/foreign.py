"""One cycle with an AeorDB node: what changed there becomes versions made here.

    observe    what changed there since the root it last answered with    one answer, not paged
    plan       which of it somebody changed there (`core.foreign`)         on a snapshot
    fetch      the pieces of changed files that we lack, each checked      batches
    prove      read each file whole: its size, and the content hash it never told
    adopt      versions made in the writer, on what is there then          `storage.adopt`
    see        note what the peer has now; what was adopted before a crash is found and not made
    follow     its root, last

A root that it does not know any more is answered with everything it has, and not with what was
deleted. That is noticed (`_is_listing`), and then a listing is asked for as such: what it does not
hold is gone there. Only what the peer was seen to have can be gone; a peer that has nothing left
of it has lost its data, and gets it again.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from aeorsync.cluster.cycle import MAX_PROBLEMS, Report
from aeorsync.cluster.foreign_part import (
    ForeignPeering,
    Told,
    adopt_all,
    fetch,
    make_part,
    prove,
)
from aeorsync.cluster.plan import Problem
from aeorsync.core.filters import Filter
from aeorsync.core.foreign import Had, is_private
from aeorsync.core.paths import TreePath, from_key, to_key
from aeorsync.core.versions import Kind
from aeorsync.errors import BadRequestError
from aeorsync.remote.foreign import ForeignDiff, ForeignFile
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger
from aeorsync.runtime.redact import redact
from aeorsync.storage.foreign import Followed
from aeorsync.wire.limits import MIB

PART: Final = 500
"""Paths that are dealt with together."""
PART_BYTES: Final = 1024 * MIB
"""Bytes of files that are, unless one file has more."""
_MAX_ROOT: Final = 4096
_MAX_SHOWN: Final = 4096
_SPECIAL: Final = re.compile(r"[*?\[\]{}!\\]")
_log = get_logger(__name__)


async def run_foreign_cycle(peering: ForeignPeering) -> Report:
    """Take everything that changed at the peer since we last looked.

    Raises:
        AeorError: The peer broke the protocol or cannot be reached, or our disk refused.
    """
    followed = await bridge.run(_followed, peering)
    # Before it is asked: what it has dealt with by now, its answer shows.
    peering = replace(peering, acked=await bridge.run(peering.book.acked, peering.link.id))
    answer, is_listing = await observe(peering, followed)
    if is_listing:
        followed = msgspec.structs.replace(followed, listing=followed.listing + 1)
        # Once begun its number is used up: what a listing that broke off told of proves nothing.
        await bridge.run(_follow, peering, followed)
    told, problems = merge_changes(answer)
    report = Report(told=len(told), root=answer.root_hash, is_comparable=False)
    report = _with_problems(report, problems)
    wanted = peering.wanted
    for group in _groups(told):
        report = await _take(peering, group, wanted, followed, report)
        if is_listing:
            await bridge.run(_list, peering, group, followed.listing)
    if is_listing:
        report = await _take_unlisted(peering, wanted, followed, report)
    report = await _take_untold(peering, wanted, followed, answer, report)
    if not report.is_partial and not peering.deferred:
        followed = msgspec.structs.replace(
            followed, cursor=answer.root_hash, synced_at=peering.now_ms
        )
        await bridge.run(_follow, peering, followed)
    return report


async def observe(peering: ForeignPeering, followed: Followed) -> tuple[ForeignDiff, bool]:
    """Ask what changed; returns also whether the answer is all the peer has."""
    current = peering.repository.head.root.hex()
    answer = _check(peering, await peering.remote.diff(followed.cursor, current))
    if followed.cursor is not None:
        if not await _is_listing(peering, followed, answer, current):
            return answer, False
        answer = _check(peering, await peering.remote.diff(None, current))
    if followed.listing and not await bridge.run(_has_any_of_it, peering, answer):
        _log.warning("peer has lost its data, and gets it again", peer=peering.link.address)
        await bridge.run(peering.book.forget, peering.link.id)
    return answer, True


def _check(peering: ForeignPeering, answer: ForeignDiff) -> ForeignDiff:
    root = answer.root_hash
    if len(root) > _MAX_ROOT or not root.isascii() or not root.isalnum():
        raise BadRequestError(f"{peering.link.address} sent a root that is none")
    return answer


def merge_changes(answer: ForeignDiff) -> tuple[list[Told], list[Problem]]:
    """One word on each path; what is gone and there again is there."""
    changes = answer.changes
    found: dict[str, Told] = {}
    problems: list[Problem] = []
    files = [Told(x.path, Kind.FILE, x) for x in (*changes.files_added, *changes.files_modified)]
    links = (*changes.symlinks_added, *changes.symlinks_modified)
    for told in (*files, *(Told(x.path, Kind.SYMLINK, x) for x in links)):
        if is_private(told.path):
            continue
        if told.path in found:
            problems.append(Problem(redact(told.path[:_MAX_SHOWN]), "it was told of twice"))
        else:
            found[told.path] = told
    for gone in (*changes.files_deleted, *changes.symlinks_deleted):
        if not is_private(gone.path):
            found.setdefault(gone.path, Told(gone.path, None))
    return list(found.values()), problems


async def _take(
    peering: ForeignPeering,
    group: Sequence[Told],
    wanted: Filter,
    followed: Followed,
    report: Report,
) -> Report:
    part = await bridge.run(make_part, peering, group, wanted)
    await fetch(peering, part)
    await bridge.run(prove, peering, part)
    await adopt_all(peering, part)
    await bridge.run(_see, peering, part.seen, followed)
    report = msgspec.structs.replace(
        report,
        changed=report.changed + part.changed,
        conflicts=report.conflicts + part.conflicts,
        chunks=report.chunks + part.chunks,
    )
    return _with_problems(report, part.problems)


async def _take_unlisted(
    peering: ForeignPeering, wanted: Filter, followed: Followed, report: Report
) -> Report:
    """Deal with what the peer had and a listing did not tell of: it is gone there."""
    after, link = b"", peering.link.id
    listing = followed.listing
    while keys := await bridge.run(peering.book.unlisted, link, listing, after, PART):
        after = keys[-1]
        gone = [Told(from_key(key), None) for key in keys]
        report = await _take(peering, gone, wanted, followed, report)
    return report


async def _take_untold(
    peering: ForeignPeering,
    wanted: Filter,
    followed: Followed,
    answer: ForeignDiff,
    report: Report,
) -> Report:
    """Deal with what the peer took from us since it was last looked at, and has no more.

    It is not told of as gone, since it was not there either when the peer was last looked at.
    """
    changes = answer.changes
    live = {*_live(answer), *(x.path for x in changes.files_modified)}
    live.update(x.path for x in changes.symlinks_modified)
    after, book, link = b"", peering.book, peering.link.id
    while keys := await bridge.run(book.past, link, peering.acked, after, PART):
        after = keys[-1]
        had = await bridge.run(book.had, link, keys)
        gone = [key for key in keys if key not in had and from_key(key) not in live]
        told = [Told(from_key(key), None) for key in gone]
        report = await _take(peering, told, wanted, followed, report)
    return report


# Observe


def _followed(peering: ForeignPeering) -> Followed:
    """How far the peer was followed; from the beginning where that is of no use."""
    book, link, repository = peering.book, peering.link, peering.repository
    followed = book.followed(link.id)
    if followed is not None and (
        followed.node != peering.node or not repository.has_given_out(followed.epoch, followed.seq)
    ):
        # Another database answers there, or ours was put back and lacks what was taken.
        book.forget(link.id)
        followed = None
    if followed is None:
        return Followed(node=peering.node, filters=peering.filters)
    if followed.filters != peering.filters:
        followed = msgspec.structs.replace(followed, cursor=None, filters=peering.filters)
    return followed


def _follow(peering: ForeignPeering, followed: Followed) -> None:
    repository = peering.repository
    place = msgspec.structs.replace(followed, epoch=repository.epoch, seq=repository.head.seq)
    peering.book.follow(peering.link.id, place)


def _see(peering: ForeignPeering, seen: Mapping[bytes, Had | None], followed: Followed) -> None:
    # First where our own feed stands: were our database put back, this must not outlive it.
    _follow(peering, followed)
    peering.book.see(peering.link.id, seen, followed.listing)


async def _is_listing(
    peering: ForeignPeering, followed: Followed, answer: ForeignDiff, current: str
) -> bool:
    """Whether a peer that was asked for changes did not know since when, and told it all.

    Then it tells of no change and of no deletion, and as new of what it had. Or it has nothing
    left of that: so the first time, and when it has moved and tells of nothing, it is asked
    whether something that it had is still there.
    """
    changes = answer.changes
    if answer.root_hash == followed.cursor or any(
        (
            changes.files_modified,
            changes.symlinks_modified,
            changes.files_deleted,
            changes.symlinks_deleted,
        )
    ):
        return False
    if await bridge.run(_has_any_of_it, peering, answer):
        return True
    is_odd = peering.is_first or all(map(is_private, _live(answer)))
    sample = await bridge.run(peering.book.any_had, peering.link.id) if is_odd else None
    if sample is None:
        return False
    path = from_key(sample)
    there = await peering.remote.diff(None, current, [_SPECIAL.sub(r"\\\g<0>", path)])
    return path not in _live(there)


def _live(answer: ForeignDiff) -> list[str]:
    """The paths that are told of as new."""
    changes = answer.changes
    return [x.path for x in changes.files_added] + [x.path for x in changes.symlinks_added]


def _has_any_of_it(peering: ForeignPeering, answer: ForeignDiff) -> bool:
    """Whether a peer tells of anything as new that it had already, or was given."""
    paths = _live(answer)
    for at in range(0, len(paths), PART):
        keys = [_raw_key(path) for path in paths[at : at + PART]]
        if peering.book.had(peering.link.id, keys) or peering.book.given(peering.link.id, keys):
            return True
    return False


def _raw_key(path: str) -> bytes:
    return to_key(TreePath(path)) if path.isprintable() else b""


def _list(peering: ForeignPeering, group: Sequence[Told], listing: int) -> None:
    keys = [_raw_key(told.path) for told in group]
    peering.book.list_again(peering.link.id, keys, listing)


# Reports and groups


def _groups(told: Sequence[Told]) -> Iterator[list[Told]]:
    group: list[Told] = []
    size = 0
    for one in told:
        weight = one.item.size if isinstance(one.item, ForeignFile) else 0
        if group and (len(group) == PART or size + weight > PART_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += weight
    if group:
        yield group


def _with_problems(report: Report, problems: Sequence[Problem]) -> Report:
    room = MAX_PROBLEMS - len(report.problems)
    return msgspec.structs.replace(
        report,
        problems=(*report.problems, *problems[:room]),
        problem_count=report.problem_count + len(problems),
    )
