"""The ledger: what each cycle with each peer did, kept for 30 days in ``ledger.sqlite3``.

    begin    a row that says ``running``
    end      the same row, with how it went
    start    rows that still say ``running`` become ``failed``: the node stopped meanwhile

It is a record and no data, so nothing ever waits for it or fails with it. A row outlives the
process once the call has returned (write-ahead log), but a power cut may take the last ones. A
file that cannot be read is set aside as ``ledger.sqlite3.damaged`` and a new one is begun; where
even that fails the rows are kept in memory, or dropped. The log says so, once.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

import msgspec

from aeorsync.runtime.log import get_logger

KEEP_MS: Final = 30 * 24 * 3600 * 1000
MAX_ROWS: Final = 500_000
"""Rows kept at most, however busy the 30 days were: some 60 MB."""
MAX_LIMIT: Final = 1000
"""Rows that are told at once."""
MEMORY: Final = ":memory:"

Direction = Literal["pull", "push"]
Status = Literal["running", "success", "partial", "failed"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

T = TypeVar("T")
_log = get_logger(__name__)

_DAY_MS: Final = 24 * 3600 * 1000
_EVERY: Final = 10_000
"""Rows begun before old ones are looked for, should that come before the day is over."""
_BATCH: Final = 2000
_VERSION: Final = 1
_MAX_TEXT: Final = 500
_STOPPED: Final = "the node stopped"
_BUSY_S: Final = 0.25
"""How long somebody else may lock the file, looking into it, before a row is dropped."""
_BROKEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
}
"""Errors after which the file is as good as before."""
_COLUMNS: Final = (
    "id, peer, address, direction, started_at, duration, files, skipped, bytes, status, error"
)
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE cycles (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,   -- ascending, never used again
    peer       INTEGER NOT NULL,                    -- node id
    address    TEXT NOT NULL,
    direction  TEXT NOT NULL,                       -- pull, push
    started_at INTEGER NOT NULL,                    -- milliseconds since the Unix epoch
    duration   INTEGER,                             -- milliseconds
    files      INTEGER NOT NULL DEFAULT 0,
    skipped    INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0,
    status     TEXT NOT NULL DEFAULT 'running',     -- running, success, partial, failed
    error      TEXT
);
CREATE INDEX by_peer ON cycles (peer);
CREATE INDEX by_status ON cycles (status);
CREATE INDEX by_direction ON cycles (direction);
CREATE INDEX by_start ON cycles (started_at);
PRAGMA user_version={_VERSION};
COMMIT;
"""


class CycleRow(msgspec.Struct, frozen=True):
    """One cycle.

    Attributes:
        id: Names the row here; later cycles have greater ones.
        peer: Node id of the peer.
        address: Its base URL.
        direction: ``pull`` or ``push``.
        started_at: Milliseconds since the Unix epoch.
        duration_ms: How long it took; None while it runs or when nobody knows.
        files: Files that changed, deleted ones included.
        skipped: Entries that were told of and known already.
        bytes: Bytes of the chunks that were transferred, as they were sent.
        status: ``running``, ``success``, ``partial`` or ``failed``.
        error: What went wrong.
    """

    id: int
    peer: int
    address: str
    direction: str
    started_at: int
    duration_ms: int | None
    files: int
    skipped: int
    bytes: int
    status: str
    error: str | None


class Ledger:
    """The ledger of one node. Blocking; safe from any thread; never raises what a disk did."""

    def __init__(self, path: Path | None, now_ms: int = 0) -> None:
        """Open it, or begin a new one.

        Args:
            path: The file; None to keep the rows in memory.
            now_ms: Rows older than `KEEP_MS` before this are dropped.
        """
        self._path = path
        self._lock = threading.Lock()
        self._is_silent = False
        self._db = self._open()
        is_tidy = self._attempt(lambda db: _tidy(db, now_ms), True)  # noqa: FBT003  # its result
        self._tidy_at = now_ms + (_DAY_MS if is_tidy else 0)

    def begin(self, peer: int, address: str, direction: Direction, now_ms: int) -> int:
        """A cycle begins; returns the row to `end`, 0 when it could not be written."""

        def work(db: sqlite3.Connection) -> int:
            if now_ms >= self._tidy_at:
                self._tidy_at = now_ms + (_DAY_MS if _tidy(db, now_ms) else 0)
            cursor = db.execute(
                "INSERT INTO cycles (peer, address, direction, started_at) VALUES (?, ?, ?, ?)",
                (peer, address, direction, now_ms),
            )
            row = cursor.lastrowid or 0
            if row % _EVERY == 0:
                self._tidy_at = now_ms
            return row

        return self._attempt(work, 0)

    def end(  # noqa: PLR0913  # what there is to say of a cycle, by name
        self,
        row: int,
        *,
        now_ms: int,
        status: Status,
        files: int = 0,
        skipped: int = 0,
        bytes: int = 0,  # noqa: A002  # the word everybody uses for it
        error: str | None = None,
    ) -> None:
        """A cycle ended."""
        text = None if error is None else error[:_MAX_TEXT]
        change = (now_ms, files, skipped, bytes, status, text, row)

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE cycles SET duration = max(0, ? - started_at), files = ?, skipped = ?,"
                " bytes = ?, status = ?, error = ? WHERE id = ?",
                change,
            )

        self._attempt(work, None)

    def rows(
        self,
        *,
        peer: int | None = None,
        direction: str | None = None,
        status: str | None = None,
        limit: int = MAX_LIMIT,
        before: int | None = None,
    ) -> list[CycleRow]:
        """The newest rows that fit every filter that is given, newest first.

        Args:
            peer: Node id.
            direction: One of `DIRECTIONS`.
            status: One of `STATUSES`.
            limit: Rows at most.
            before: Only rows with a smaller id.
        """
        wanted: dict[str, int | str | None] = {
            "peer = ?": peer,
            "direction = ?": direction,
            "status = ?": status,
        }
        wanted["id < ?"] = before
        given = {text: value for text, value in wanted.items() if value is not None}
        where = f"WHERE {' AND '.join(given)} " if given else ""
        # Only column names and question marks of ours are put together.
        query = f"SELECT {_COLUMNS} FROM cycles {where}ORDER BY id DESC LIMIT ?"  # noqa: S608

        def work(db: sqlite3.Connection) -> list[CycleRow]:
            return [CycleRow(*row) for row in db.execute(query, (*given.values(), limit))]

        return self._attempt(work, [])

    def close(self) -> None:
        """Let go of the file; whatever comes later goes nowhere."""
        with self._lock:
            self._db.close()
            self._is_silent = True

    def _attempt(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do something in one transaction; ``otherwise`` when the disk does not let us."""
        with self._lock:
            try:
                with self._db:
                    result = work(self._db)
            except sqlite3.Error as error:
                self._complain(error)
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
                    self._db.close()
                    self._db = self._begin_anew(error)
                return otherwise
            self._is_silent = False
            return result

    def _complain(self, error: sqlite3.Error) -> None:
        if not self._is_silent:
            self._is_silent = True
            _log.warning("ledger: a record of a cycle was lost, nothing else", reason=str(error))

    def _open(self) -> sqlite3.Connection:
        if self._path is None:
            return _connect(MEMORY)
        try:
            return _connect(self._path)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
                return _in_memory(error)
            return self._begin_anew(error)

    def _begin_anew(self, error: sqlite3.Error) -> sqlite3.Connection:
        """Set aside what cannot be read and begin afresh."""
        if self._path is None:
            return _connect(MEMORY)
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            for suffix in ("-wal", "-shm"):
                # They belong to the old file, and would be replayed into the new one.
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._path.replace(aside)
            fresh = _connect(self._path)
        except (OSError, sqlite3.Error) as worse:
            return _in_memory(worse)
        _log.warning("ledger: begun anew", reason=str(error), old=str(aside))
        return fresh


def _in_memory(reason: Exception) -> sqlite3.Connection:
    _log.warning("ledger: kept in memory until the next start", reason=str(reason))
    return _connect(MEMORY)


def _connect(path: Path | str) -> sqlite3.Connection:
    """Open or make the file, and note that no cycle of before still runs.

    Raises:
        sqlite3.Error: It cannot be read, or is of another version.
    """
    db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, cached_statements=32)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    # Only checkpoints are synced: a thousand small cycles must not cost a thousand syncs.
    db.execute("PRAGMA synchronous=NORMAL")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        db.executescript(_SCHEMA)
    elif version != _VERSION:
        text = f"it is of version {version}, this is {_VERSION}"
        raise sqlite3.DatabaseError(text)
    with db:
        db.execute(
            "UPDATE cycles SET status = 'failed', error = ? WHERE status = 'running'",
            (_STOPPED,),
        )


def _tidy(db: sqlite3.Connection, now_ms: int) -> bool:
    """Drop rows that are too old or too many; returns whether none is left to be dropped.

    At most `_BATCH` of each sort, so that neither a start nor a cycle waits for long.
    """
    old = db.execute(
        "DELETE FROM cycles WHERE id IN"
        " (SELECT id FROM cycles WHERE started_at < ? ORDER BY started_at LIMIT ?)",
        (now_ms - KEEP_MS, _BATCH),
    ).rowcount
    many = db.execute(
        "DELETE FROM cycles WHERE id IN (SELECT id FROM cycles WHERE id <="
        " (SELECT max(id) FROM cycles) - ? ORDER BY id LIMIT ?)",
        (MAX_ROWS, _BATCH),
    ).rowcount
    return max(old, many) < _BATCH
