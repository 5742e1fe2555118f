"""The pass of ``aeorsync sync`` that has next to nothing to do, before anything larger is loaded.

Mostly nothing changed, or a little did here. Then one thread without an event loop is enough
(`runtime.straight`), and it is through before one would be there. Whatever else there is, also a
server that is not reached, is not for here: `run` returns None, `cli.syncing` begins anew and
tells it. What happened is told at the end, so that nothing is told twice.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aeorsync.cli.sync_flags import How
from aeorsync.cli.sync_notes import Noter
from aeorsync.cli.sync_plain import screen_for
from aeorsync.client.keeping import FolderClient
from aeorsync.config import Exit, target
from aeorsync.config.folders import SyncFolder
from aeorsync.config.state import state_folder
from aeorsync.errors import AeorError
from aeorsync.folder import events
from aeorsync.folder.events import Event, Outcome
from aeorsync.folder.places import Place, Places
from aeorsync.folder.session import FolderSync
from aeorsync.remote import direct
from aeorsync.runtime import straight

_DONE = (events.Uploaded, events.Deleted, events.Moved)


def run(folders: Sequence[SyncFolder], how: How, told: list[Event]) -> int | None:
    """Keep a folder, if that is soon done.

    Args:
        folders: At least one.
        how: For all of them.
        told: Gets what was done before it turned out not to be soon done.

    Returns:
        The exit code; None if it is not.
    """
    folder, *others = folders
    if others or how.watch or how.dry_run:
        return None
    node = target(folder.remote.url, how.key, profile=folder.profile)
    place = Places(state_folder()).place(folder.local, folder.remote.url, folder.remote.path)
    if not direct.leads_to(node.url) or not place.ledger.exists():
        return None
    noter = Noter(place, folder, is_real=True)
    happened: list[Event] = []
    try:
        with _ended_alike(), place.running():
            client = FolderClient(node.url, node.key, way=direct.Direct(node.url, node.key))
            outcome, code = straight.drive(_pass(folder, place, client, noter, happened))
    except (AeorError, OSError):
        told += [event for event in happened if isinstance(event, _DONE)]
        return None
    except KeyboardInterrupt:
        return _stopped(folder, how, happened)
    _tell(folder, how, noter, happened, outcome, code)
    return code


@contextmanager
def _ended_alike() -> Iterator[None]:
    """Let SIGTERM end a pass as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _pass(
    folder: SyncFolder, place: Place, client: FolderClient, noter: Noter, happened: list[Event]
) -> tuple[Outcome, int]:
    def report(event: Event) -> None:
        happened.append(event)
        noter.take(event)

    options = folder.options(folder.max_delete)
    async with (
        client,
        FolderSync(folder.local, client, folder.remote.path, options, place.ledger) as sync,
        noter.telling(sync.status),
    ):
        outcome = await sync.run_once(report)
        return outcome, code_of(outcome, sync.status().conflicts)


def code_of(outcome: Outcome, conflicts: Sequence[object]) -> int:
    """Return the exit code that a pass comes to."""
    if outcome.failures:
        return Exit.PROBLEMS
    return Exit.CONFLICTS if conflicts or outcome.conflicts else Exit.OK


def _tell(  # all there is to tell
    folder: SyncFolder,
    how: How,
    noter: Noter,
    happened: list[Event],
    outcome: Outcome,
    code: int,
) -> None:
    name = str(folder.local)
    with screen_for(as_json=how.as_json, quiet=how.quiet, names=1) as screen:
        for event in happened:
            screen.event(name, event)
        screen.summary(name, outcome, noter.note.conflict_count)
        screen.ended(name, noter.note.state.value, code, "")


def _stopped(folder: SyncFolder, how: How, happened: list[Event]) -> int:
    done = sum(isinstance(event, _DONE) for event in happened)
    text = f"after {done} changes; the next run goes on from there"
    with screen_for(as_json=how.as_json, quiet=how.quiet, names=1) as screen:
        screen.ended(str(folder.local), "stopped", Exit.INTERRUPTED, text)
    return Exit.INTERRUPTED
