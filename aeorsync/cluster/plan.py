"""What a page of a peer's changes amounts to: news, problems, and what we have already.

Only reads. What breaks a rule becomes a problem: nothing of it is taken, and the rest goes on.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from aeorsync.cluster.alike import past_of
from aeorsync.cluster.fetch import Spoiled
from aeorsync.cluster.walk import is_wanted
from aeorsync.core.filters import Filter
from aeorsync.core.hashing import content_hash
from aeorsync.core.knowledge import Knowledge, is_grave, knows
from aeorsync.core.merge import fresh_versions
from aeorsync.core.paths import ROOT, parse_key
from aeorsync.core.versions import Content, Entry, Kind, Version, parse_entry
from aeorsync.errors import UNREADABLE, AeorError, BadRequestError
from aeorsync.runtime.redact import redact
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire.limits import MAX_FILE, MAX_PAGE
from aeorsync.wire.protocol import Item

_MAX_SHOWN: Final = 4096
_EVERYTHING: Final = Filter()
_decode_items = msgspec.msgpack.Decoder(list[Item]).decode


class Problem(msgspec.Struct, frozen=True):
    """An entry that was not taken, and why."""

    path: str
    text: str


class News(msgspec.Struct, frozen=True):
    """An entry that changes something here.

    Attributes:
        key: Its tree key.
        entry: Checked.
        contents: Files it needs that we may not have.
        past: The file that was here before.
        held: All files that are in our entry of that key.
    """

    key: bytes
    entry: Entry
    contents: tuple[Content, ...]
    past: Content | None = None
    held: tuple[Content, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What a page amounts to.

    Attributes:
        told: Entries the peer sent.
        news: Those that change something here.
        problems: Those that break a rule.
    """

    told: int
    news: list[News]
    problems: list[Problem]


class Complete(msgspec.Struct, frozen=True):
    """News that can be applied.

    Attributes:
        news: All their chunks are here.
        problems: Of the plan, and of those that could not be completed.
        chunks: Chunks that were fetched.
        bytes: Bytes of these as they were sent.
    """

    news: list[News]
    problems: list[Problem]
    chunks: int = 0
    bytes: int = 0


def make_plan(
    repository: Repository, parts: Sequence[bytes], wanted: Filter = _EVERYTHING
) -> Plan:
    """Sort a page into news, problems and what we have already. Blocking; only reads.

    What is not wanted is no news, even if the peer told it all the same.

    Raises:
        BadRequestError: The page is no list of entries, or too long a one.
    """
    told = 0
    news: list[News] = []
    problems: list[Problem] = []
    known = repository.known()
    with repository.view() as view:
        for part in parts:
            items = _parse_items(part)
            told += len(items)
            if told > MAX_PAGE:
                raise BadRequestError(f"a page of changes holds more than {MAX_PAGE} entries")
            for key, data in items:
                try:
                    item = _read_item(repository, view, known, key, data, wanted)
                except AeorError as error:
                    problems.append(Problem(_shown(key), error.message))
                else:
                    if item is not None:
                        news.append(item)
    return Plan(told, news, problems)


def held_of(plan: Plan) -> set[Content]:
    """The files that our tree holds at the paths of a plan, as it does when they were moved.

    They were proven when they came there.
    """
    return {content for item in plan.news for content in item.held}


def needed_of(plan: Plan) -> dict[Content, None]:
    """The files that the news of a plan need, each once."""
    return dict.fromkeys(content for item in plan.news for content in item.contents)


def without_spoiled(plan: Plan, spoiled: Spoiled, chunks: int = 0, size: int = 0) -> Complete:
    """What of a plan can be applied when some files could not be completed."""
    if not spoiled:
        return Complete(plan.news, plan.problems, chunks, size)
    news: list[News] = []
    problems = list(plan.problems)
    for item in plan.news:
        reason = next((spoiled[c] for c in item.contents if c in spoiled), None)
        if reason is None:
            news.append(item)
        else:
            problems.append(Problem(_shown(item.key), reason))
    return Complete(news, problems, chunks, size)


def _parse_items(part: bytes) -> list[Item]:
    try:
        return _decode_items(part)
    except UNREADABLE as error:
        raise BadRequestError(f"a page of changes is no list of entries: {error}") from error


def _read_item(
    repository: Repository, view: View, known: Knowledge, key: bytes, data: bytes, wanted: Filter
) -> News | None:
    """What a peer's entry changes here; None when it adds nothing, or is not wanted.

    Raises:
        AeorError: The key or the entry breaks a rule.
    """
    path = parse_key(key, allow_system=True)
    if path == ROOT:
        raise BadRequestError("the root is no entry")
    if not is_wanted(wanted, key):
        return None
    entry = parse_entry(data)
    ours = view.entry(key)
    fresh = fresh_versions(ours, entry)
    if not fresh or (ours is None and is_grave(entry) and knows(known, entry)):
        # A grave that all have acknowledged and we have forgotten stays forgotten.
        return None
    if repository.is_too_far_ahead(entry):
        raise BadRequestError("it was written in the future; check the clocks (NTP) of all nodes")
    held = set() if ours is None else set(contents_of(ours.versions))
    for version in fresh:
        _check_link_target(version)
    lacking = tuple(content for content in contents_of(fresh) if content not in held)
    if any(content.size > MAX_FILE for content in lacking):
        raise BadRequestError(f"the file is larger than {MAX_FILE} bytes")
    return News(key, entry, lacking, past_of(ours) if lacking else None, tuple(held))


def contents_of(versions: Sequence[Version]) -> list[Content]:
    """The files among some versions; what is deleted need not be here."""
    return [v.content for v in versions if v.kind == Kind.FILE and not v.deleted]


def _check_link_target(version: Version) -> None:
    if version.kind == Kind.SYMLINK:
        target = version.target.encode()
        if (content_hash(target), len(target)) != (version.content.hash, version.content.size):
            raise BadRequestError("the target of the link does not match its hash")


def _shown(key: bytes) -> str:
    """A key as a path for people, whatever is in it."""
    return redact("/" + key[:_MAX_SHOWN].decode("utf-8", "replace").replace("\0", "/"))
