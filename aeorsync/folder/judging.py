"""Before the server's word costs a version that is held here: has it ever seen that one?

    the server shows, in place of what was agreed     and says of that one     so
    ---------------------------------------------     --------------------     --
    nothing, or another version                       it is past               it is believed
    nothing, or another version                       it stands                it is out of date
    nothing, or another version                       nothing                  ours is sent again

*Nothing* is what a server says that was put back to an older copy, or one of several behind one
address that lags behind: it cannot have deleted or replaced what it never had.
"""

from collections.abc import Iterable

import msgspec

from aeorsync.core.versions import Kind
from aeorsync.errors import NotFoundError, StaleError, UnavailableError
from aeorsync.folder import content, facts, told
from aeorsync.folder.facts import Agreed, Found
from aeorsync.folder.told import Told
from aeorsync.folder.work import MADE, Work
from aeorsync.runtime import bridge
from aeorsync.wire.protocol import Held


class Verdict(msgspec.Struct, frozen=True):
    """What the server said.

    Attributes:
        stands: Paths whose version it shows: what it told before is out of date.
        unseen: Paths whose version it has never seen.
    """

    stands: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()


async def judge(work: Work, waiting: Iterable[tuple[str, bytes]]) -> Verdict:
    """Ask about all versions that what was told would cost.

    Args:
        work: The pass.
        waiting: Paths with what was told of them. Our own edits of which nothing is told count
            as well (`Work.undone`).

    Raises:
        UnavailableError: The server cannot say; it is too old.
    """
    rows = {**dict.fromkeys(work.undone, b""), **dict(waiting)}
    held = await bridge.run(_held, work, rows.items())
    if not held:
        return Verdict()
    absolute = work.scope.absolute
    try:
        reply = await work.server.seen({absolute(path): one for path, one in held.items()})
    except NotFoundError as error:
        text = (
            "the server cannot say which versions it has seen: it is too old. Nothing was changed"
        )
        raise UnavailableError(text) from error
    relative = work.scope.relative
    stands = frozenset(path for path in map(relative, reply.stands) if path is not None)
    past = {relative(path) for path in reply.past}
    unseen = frozenset(held.keys() - stands - past)
    await bridge.run(_note, work, unseen)
    return Verdict(stands, unseen)


def _note(work: Work, unseen: frozenset[str]) -> None:
    """Of our own edits that the server knows nothing more is to be told."""
    with work.ledger.transaction():
        for path in work.undone - unseen:
            work.ledger.note(MADE + path, None)


def _held(work: Work, waiting: Iterable[tuple[str, bytes]]) -> dict[str, Held]:
    """The versions that are held, and are not in what was told of their paths."""
    found = {}
    for path, row in waiting:
        agreed = work.ledger.agreed(path)
        if agreed is None or not agreed.version or not agreed.base or path in work.reborn:
            continue
        if not _has(told.decode(row), agreed.version):
            found[path] = Held(agreed.version, agreed.base)
    return found


def _has(shown: Told | None, version: str) -> bool:
    if shown is None:
        return False
    return version == shown.version or any(loser.version == version for loser in shown.losers)


def as_found(work: Work, path: str, agreed: Agreed) -> Found | None:
    """What is at a path that is as agreed, read anew, so that it can be sent. Blocking.

    Returns:
        None: It is changing just now; the next round looks at it again.
    """
    look = agreed.fingerprint
    if look.kind is Kind.DIRECTORY:
        return Found(path, look, agreed)
    if look.kind is Kind.SYMLINK:
        return Found(path, look, agreed, None, agreed.content.decode())
    try:
        with work.root.folder(facts.parent(path)) as folder:
            seen, data = content.read_file(folder, facts.name(path))
    except (OSError, StaleError, UnavailableError):
        work.tally.again.add(path)
        return None
    return Found(path, seen, agreed, data, is_racy=seen.is_racy(work.began_ns))
