"""Which chunks belong to versions that may be read under some rules.

Chunks know nothing of the files they are part of, so the readable part of the tree is walked once,
and then followed by the feed: each path that changed is looked at anew. What was found is kept in
a temporary file, by path and by chunk, so memory stays bounded.

    a chunk of a version that can be read now, winner or loser    yes
    one that was told of in the last hour (`Readable.tell`)       yes: it is being fetched
    any other, known here or not                                  no
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import Final

from aeorsync.core.access import Access, Op
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, from_key, to_key
from aeorsync.core.versions import Kind, decode_entry
from aeorsync.errors import CorruptError
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.idsets import IdSet
from aeorsync.storage.marks import batches
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View, is_system_key

TOLD_MS: Final = 3_600_000
_MAX_BEHIND = 100_000
"""Changes that are followed one by one; after more of them the tree is walked again."""
_ROWS = 1000
_SCHEMA = """
CREATE TABLE held (id BLOB, place INTEGER, PRIMARY KEY (id, place)) WITHOUT ROWID;
CREATE INDEX places ON held (place);
"""


class Readable:
    """The chunks that one set of rules lets be read. Blocking; for one thread at a time.

    Only `tell` is safe from any thread at any time.
    """

    def __init__(self, repository: Repository, access: Access, wall: WallClock) -> None:
        """Know nothing yet; the tree is walked when it is needed."""
        self._repository = repository
        self._access = access
        self._wall = wall
        self._told = IdSet()
        self._base: sqlite3.Connection | None = None
        self._seq = 0

    def tell(self, ids: Collection[bytes]) -> None:
        """Take note of chunks that a reader under these rules was just told of."""
        now_ms = self._wall.now_ms()
        self._told.forget(now_ms - TOLD_MS)
        self._told.add(ids, now_ms)

    def find(self, ids: Collection[bytes]) -> set[bytes]:
        """Which of these chunks may be read."""
        found = self._told.found(ids, self._wall.now_ms() - TOLD_MS)
        rest = [name for name in ids if name not in found]
        if not rest or self._access.is_nobody:
            return found
        base = self._follow()
        for marks, batch in batches(rest):
            rows = base.execute(f"SELECT id FROM held WHERE id IN ({marks})", batch)  # noqa: S608
            found.update(row[0] for row in rows)
        return found

    def __del__(self) -> None:
        # Gives the file back when the last who uses it lets go.
        if hasattr(self, "_base"):
            self._drop()

    def _drop(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()

    def _follow(self) -> sqlite3.Connection:
        """Bring what is known up to the present."""
        with self._repository.view() as view:
            seq = view.head.seq
            can_follow = self._base is not None and self._repository.reaches_back_to(self._seq)
            try:
                if self._base is None or not can_follow or seq - self._seq > _MAX_BEHIND:
                    self._drop()
                    self._base = _new_base()
                    self._walk(self._base, view)
                elif seq > self._seq:
                    self._catch_up(self._base, view)
            except BaseException:
                self._drop()
                raise
            self._seq = seq
            return self._base

    def _walk(self, base: sqlite3.Connection, view: View) -> None:
        base.execute("BEGIN")
        self._insert(base, self._readable_items(view))
        base.execute("COMMIT")

    def _readable_items(self, view: View) -> Iterator[tuple[bytes, bytes]]:
        for text in self._access.bounds(Op.READ):
            path = TreePath(text)
            key = to_key(path)
            data = view.live_data(key) if key else None
            if data is not None:
                yield key, data
            yield from view.walk(path)

    def _catch_up(self, base: sqlite3.Connection, view: View) -> None:
        seq, end = self._seq, view.head.seq
        base.execute("BEGIN")
        while seq < end:
            rows = self._repository.changes(seq, _ROWS)
            keys = {row.key for row in rows if row.seq <= end}
            if not rows:
                break
            seq = rows[-1].seq
            base.executemany("DELETE FROM held WHERE place = ?", ((hash(key),) for key in keys))
            datas = ((key, view.live_data(key)) for key in keys)
            self._insert(base, ((key, data) for key, data in datas if data is not None))
        base.execute("COMMIT")

    def _insert(self, base: sqlite3.Connection, items: Iterable[tuple[bytes, bytes]]) -> None:
        base.executemany(
            "INSERT OR IGNORE INTO held (id, place) VALUES (?, ?)",
            ((name, hash(key)) for key, data in items for name in self._chunks(key, data)),
        )

    def _chunks(self, key: bytes, data: bytes) -> Iterator[bytes]:
        """The chunks that an entry gives its readers; none where it cannot be read."""
        path = from_key(key)
        if is_system_key(key) or not self._access.may(path, Op.READ):
            return
        sight = see(decode_entry(data))
        for version in (sight.winner, *sight.losers):
            if version.kind == Kind.FILE and not version.deleted:
                with suppress(CorruptError):
                    yield from (
                        name for _, name, _ in self._repository.references(version.content)
                    )


def _new_base() -> sqlite3.Connection:
    base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8192"):
        base.execute(f"PRAGMA {setting}")
    base.executescript(_SCHEMA)
    return base
