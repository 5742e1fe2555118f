"""What is kept how long, for the whole cluster: whether snapshots may be made, and when they go.

One JSON file in the system namespace, so it replicates as snapshots do: a node that pruned by
another rule would take the snapshots of all. A file that cannot be read, or is not here, prunes
nothing.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Final

import msgspec

from aeorsync.core.paths import SYSTEM, join, to_key
from aeorsync.core.schedule import months_before
from aeorsync.core.versions import Content, Kind
from aeorsync.errors import UNREADABLE, AeorError, DeniedError
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.version_records import Snapshot, read_snapshots
from aeorsync.storage.views import View

RECORD: Final = join(SYSTEM, "lifecycle.json")
MAX_MONTHS: Final = 1200
_MAX_SIZE: Final = 4096

Months = Annotated[int, msgspec.Meta(ge=0, le=MAX_MONTHS)]
ReadContent = Callable[[Content], Iterator[bytes | memoryview]]


class Retention(msgspec.Struct, frozen=True):
    """How long snapshots are kept.

    Attributes:
        auto_months: Calendar months that automatic ones stay; 0 for ever.
        manual_months: The same of those that somebody made.
    """

    auto_months: Months = 0
    manual_months: Months = 0


class Lifecycle(msgspec.Struct, frozen=True):
    """What is kept how long.

    Attributes:
        snapshot_writes_enabled: Whether snapshots may be made.
        snapshot_retention: How long they are kept.
        snapshot_before_delete: Whether one is made before somebody deletes a file, once a minute
            at most.
    """

    snapshot_writes_enabled: bool = True
    snapshot_retention: Retention = Retention()
    snapshot_before_delete: bool = False


DEFAULT: Final = Lifecycle()


def read_lifecycle(view: View, read: ReadContent) -> Lifecycle:
    """The rules, as a view has them."""
    sight = view.sight(RECORD)
    if sight is None or sight.winner.kind != Kind.FILE or sight.winner.content.size > _MAX_SIZE:
        return DEFAULT
    try:
        return msgspec.json.decode(b"".join(read(sight.winner.content)), type=Lifecycle)
    except (AeorError, *UNREADABLE):
        return DEFAULT


def write_lifecycle(repository: Repository, rules: Lifecycle) -> None:
    """Make these the rules, on all nodes; durable on return. Blocking."""
    content = repository.store_small(msgspec.json.encode(rules))

    def operation(draft: Draft) -> None:
        put_file(draft, RECORD, FileState(content, "application/json"))

    repository.commit(operation).result()


def check_writes(repository: Repository, draft: Draft) -> None:
    """Refuse to make a snapshot where that is switched off.

    Raises:
        DeniedError: It is.
    """
    if draft.view.live_data(to_key(RECORD)) is None:
        return
    if not read_lifecycle(draft.view, repository.read).snapshot_writes_enabled:
        raise DeniedError(
            "snapshots are switched off, so nothing was changed;"
            " PUT /system/lifecycle switches them on"
        )


def outlived(repository: Repository, now_ms: int) -> list[Snapshot]:
    """The snapshots that are older than the rules keep them. Blocking."""
    with repository.view() as view:
        retention = read_lifecycle(view, repository.read).snapshot_retention
        months = {"auto": retention.auto_months, "manual": retention.manual_months}
        return [
            snapshot
            for snapshot in read_snapshots(view, repository.read)
            if (kept := months.get(snapshot.kind, 0))
            and snapshot.created_at < months_before(now_ms, kept)
        ]
