"""Paths at which something of the server's was about to take the place of what was agreed on.

They are noted before, durably, and the note goes with what is agreed on then. Whoever finds one at
the start of a round was killed in between, or broke off:

    what is there is what was agreed      nothing was placed; it is as before
    anything else                         nobody knows what it was made from: not from what was
                                          agreed, if that had given way already

Before that, what waits to be taken and is there just so was placed, and is agreed on
(`recognise`).

What nobody knows anything about is compared by content, and where it is something new it stands
beside all that the server has. Else what somebody made of the server's version would pass for an
edit of the one that had given way, and cost that.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from aeorsync.core.versions import Kind
from aeorsync.errors import AeorError
from aeorsync.folder import facts, names, told
from aeorsync.folder.facts import Agreed, Content, Fingerprint
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.observing import all_pending
from aeorsync.folder.plan import Give, Take, agreed_as
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.root import told as told_of
from aeorsync.folder.told import Told
from aeorsync.folder.work import Work

_PLACING: Final = "placing "
"""What the names of these notes begin with; the path follows."""


def begin(ledger: Ledger, takes: Iterable[Take]) -> None:
    """Note where something is about to give way. Blocking."""
    paths = [take.path for take in takes if take.was is not None and not take.is_held]
    if paths:
        with ledger.transaction():
            for path in paths:
                ledger.note(_PLACING + path, "")


def end(ledger: Ledger, paths: Iterable[str]) -> None:
    """Forget that, now that what is there is agreed on. Blocking."""
    with ledger.transaction():
        for path in paths:
            ledger.note(_PLACING + path, None)


def recognise(work: Work) -> dict[str, Agreed]:
    """What waits to be taken and is there just so, as it is to be agreed on. Blocking.

    It was placed, and whoever did that was killed, or broke off, before it was written down. To be
    asked before later news take the place of what was told: they would be in conflict with what is
    there. What was told goes on waiting: its conflict copies may be missing.
    """
    states = dict(_untaken(work.ledger))
    looks = {path: _placed(work.root, path, state) for path, state in states.items()}
    gives = [
        Give(path, look, None, "", "", None)
        for path, look in looks.items()
        if look is not None and look.kind is Kind.FILE
    ]
    contents: dict[str, Content] = {}
    if gives:
        from aeorsync.folder.reading import read_fresh  # noqa: PLC0415  # takes a while

        contents = read_fresh(work.root, gives, keeps=False).contents
    found: dict[str, Agreed] = {}
    for path, look in looks.items():
        content, state = contents.get(path), states[path]
        is_link = look is not None and look.kind is Kind.SYMLINK
        if look is not None and (is_link or (content and content.hash == state.content)):
            found[path] = work.seen(agreed_as(state, look, content))
    return found


def _untaken(ledger: Ledger) -> Iterator[tuple[str, Told]]:
    for path, row in all_pending(ledger):
        state, was = told.decode(row), ledger.agreed(path)
        # The folder it is in was agreed on before; a disk may take another one for that.
        is_there = not facts.parent(path) or ledger.agreed(facts.parent(path)) is not None
        if state is None or state.kind == Kind.DIRECTORY or not is_there:
            continue
        if was is None or was.version != state.version:
            yield path, state


def _placed(root: SafeRoot, path: str, state: Told) -> Fingerprint | None:
    """How what is there looks, if it may have been placed for what was told."""
    if names.flaw(path) is not None:
        return None
    with suppress(AeorError), root.folder(facts.parent(path)) as folder, told_of(path):
        name = facts.name(path)
        here = folder.look(name)
        if here is not None and here.kind == state.kind and not folder.is_misnamed(name):
            if here.kind is Kind.SYMLINK:
                return here if folder.read_link(name).encode() == state.content else None
            wanted = state.size, state.mtime_ns, state.executable
            return here if (here.size, here.mtime_ns, here.executable) == wanted else None
    return None


def forget(ledger: Ledger, root: SafeRoot) -> bool:
    """Agree on nothing any more where something else may have been placed. Blocking.

    Returns:
        Whether there is such a path.

    Raises:
        UnavailableError: The disk refused the ledger; nothing was forgotten.
    """
    paths = [name.removeprefix(_PLACING) for name in ledger.notes(_PLACING)]
    if not paths:
        return False
    with ledger.transaction():
        unknown = [path for path in paths if not _is_as_agreed(ledger, root, path)]
        ledger.forget(unknown)
        end(ledger, paths)
    return bool(unknown)


def _is_as_agreed(ledger: Ledger, root: SafeRoot, path: str) -> bool:
    agreed = ledger.agreed(path)
    return agreed is None or root.look(path) == agreed.fingerprint
