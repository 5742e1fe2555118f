"""What AeorDB nodes had when we last looked, and what they were given since.

``DATA/foreign.sqlite3``, beside the store and of lesser weight: it is written after what it tells
of, so a crash leaves it behind, and then the same is learnt again. Lost as a whole, the peers'
files are compared with ours afresh: what is equal stays, what differs is kept beside ours.

WAL with ``synchronous=NORMAL``: after a power cut the file may be a little older, never torn.
Blocking; every method is safe from any thread.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from aeorsync.core.foreign import GONE, Had
from aeorsync.core.versions import Vector
from aeorsync.errors import CorruptError, UnavailableError

FILE_NAME: Final = "foreign.sqlite3"
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
-- How far each peer was followed.
CREATE TABLE peers (
    link INTEGER PRIMARY KEY,
    mark BLOB NOT NULL                -- msgpack of Followed
);
-- What each peer had at each path when we last looked.
CREATE TABLE had (
    link    INTEGER NOT NULL,
    key     BLOB NOT NULL,            -- core.paths.to_key
    kind    INTEGER NOT NULL,
    mark    BLOB NOT NULL,            -- core.foreign, what a mark is
    context BLOB NOT NULL,            -- msgpack of a vector
    listing INTEGER NOT NULL,         -- the last listing that told of it
    PRIMARY KEY (link, key)
) WITHOUT ROWID;
-- What each peer was told since, and has not shown to have.
CREATE TABLE given (
    link    INTEGER NOT NULL,
    key     BLOB NOT NULL,
    turn    INTEGER NOT NULL,         -- the answer that told it
    kind    INTEGER NOT NULL,         -- 0 when it was told that the path is gone
    mark    BLOB NOT NULL,
    context BLOB NOT NULL,
    at      INTEGER NOT NULL,         -- when, in milliseconds since the Unix epoch
    doubt   INTEGER NOT NULL,         -- 1 when it may have taken it in part
    PRIMARY KEY (link, key, turn)
) WITHOUT ROWID;
-- Number of the last answer to each peer that told something, and of the last it has dealt with.
CREATE TABLE turns (
    link  INTEGER PRIMARY KEY,
    told  INTEGER NOT NULL,
    acked INTEGER NOT NULL
);
"""


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """How far a peer was followed.

    Attributes:
        node: Its node id, as text.
        cursor: The root it last answered with; None to list everything.
        filters: What was taken, in any form that tells filters apart.
        listing: Number of the last full listing.
        epoch: With ``seq``, where our own feed stood.
        seq: Likewise.
        synced_at: When, in milliseconds since the Unix epoch.
    """

    node: str
    cursor: str | None = None
    filters: str = ""
    listing: int = 0
    epoch: int = 0
    seq: int = 0
    synced_at: int = 0


class Given(Had, frozen=True, array_like=True, gc=False, kw_only=True):
    """What a peer was told.

    Attributes:
        turn: Number of the answer that told it.
        at: When, in milliseconds since the Unix epoch.
        is_doubtful: Whether the peer may have taken only parts of that answer.
    """

    turn: int
    at: int
    is_doubtful: bool


class ForeignBook:
    """The file, or its like in memory."""

    def __init__(self, path: Path | None = None) -> None:
        """Open it, made when it is not there.

        Raises:
            CorruptError: It is no such file, or a later version's.
        """
        self._lock = threading.RLock()
        try:
            self._base = sqlite3.connect(
                ":memory:" if path is None else path, isolation_level=None, check_same_thread=False
            )
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            raise CorruptError(f"{path} cannot be read: {error}; it may be removed") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._base.close()

    # How far

    def followed(self, link: int) -> Followed | None:
        """How far the peer of a link was followed."""
        row = self._one("SELECT mark FROM peers WHERE link = ?", link)
        return None if row is None else msgspec.msgpack.decode(row[0], type=Followed)

    def follow(self, link: int, followed: Followed) -> None:
        """Note how far a peer was followed."""
        with self._writing() as base:
            base.execute(
                "INSERT OR REPLACE INTO peers VALUES (?, ?)",
                (link, msgspec.msgpack.encode(followed)),
            )

    def forget(self, link: int) -> None:
        """Forget all about the peer of a link."""
        with self._writing() as base:
            for table in ("peers", "had", "given", "turns"):
                base.execute(f"DELETE FROM {table} WHERE link = ?", (link,))  # noqa: S608 - our names

    # What it had

    def had(self, link: int, keys: Iterable[bytes]) -> dict[bytes, Had]:
        """What the peer had at some paths; those it did not have are left out."""
        sql = "SELECT kind, mark, context FROM had WHERE link = ? AND key = ?"
        found = {}
        for key in keys:
            row = self._one(sql, link, key)
            if row is not None:
                found[key] = _had(row)
        return found

    def any_had(self, link: int) -> bytes | None:
        """Some path that the peer had; None when it had nothing."""
        row = self._one("SELECT key FROM had WHERE link = ? LIMIT 1", link)
        return None if row is None else bytes(row[0])

    def unlisted(self, link: int, listing: int, after: bytes, limit: int) -> list[bytes]:
        """Paths the peer had that a listing did not tell of; ascending, past ``after``."""
        sql = "SELECT key FROM had WHERE link = ? AND key > ? AND listing < ? ORDER BY key LIMIT ?"
        return [bytes(row[0]) for row in self._all(sql, link, after, listing, limit)]

    def see(self, link: int, seen: Mapping[bytes, Had | None], listing: int) -> None:
        """Note what the peer has now; None is nothing. What it had been given before is past.

        Args:
            link: Whose peer.
            seen: By key.
            listing: The listing that told of it, or the last one.
        """
        with self._writing() as base:
            for key, had in seen.items():
                if had is None:
                    base.execute("DELETE FROM had WHERE link = ? AND key = ?", (link, key))
                else:
                    base.execute(
                        "INSERT OR REPLACE INTO had VALUES (?, ?, ?, ?, ?, ?)",
                        (link, key, had.kind, had.mark, _pack(had.context), listing),
                    )
                mark = GONE if had is None else had.mark
                base.execute(
                    "DELETE FROM given WHERE link = ?1 AND key = ?2 AND turn <= (SELECT max(turn)"
                    " FROM given WHERE link = ?1 AND key = ?2 AND mark = ?3)",
                    (link, key, mark),
                )

    def list_again(self, link: int, keys: Iterable[bytes], listing: int) -> None:
        """Note that a listing told of paths about which nothing else was learnt."""
        with self._writing() as base:
            base.executemany(
                "UPDATE had SET listing = ? WHERE link = ? AND key = ?",
                ((listing, link, key) for key in keys),
            )

    # What it was given

    def given(self, link: int, keys: Iterable[bytes]) -> dict[bytes, list[Given]]:
        """What the peer was given at some paths and has not shown to have, oldest first."""
        sql = (
            "SELECT kind, mark, context, turn, at, doubt FROM given"
            " WHERE link = ? AND key = ? ORDER BY turn"
        )
        found = {}
        for key in keys:
            rows = self._all(sql, link, key)
            if rows:
                found[key] = [_given(row) for row in rows]
        return found

    def give(self, link: int, states: Mapping[bytes, Had], now_ms: int) -> int:
        """Note what the peer is about to be told, by key; returns the number of that answer.

        An answer that tells nothing has the number of the one before.
        """
        with self._writing() as base:
            told, acked = self._turns(link)
            if not states:
                return told
            base.execute("INSERT OR REPLACE INTO turns VALUES (?, ?, ?)", (link, told + 1, acked))
            for key, had in states.items():
                state = (had.mark, _pack(had.context))
                base.execute(
                    "DELETE FROM given WHERE link = ? AND key = ? AND mark = ? AND context = ?",
                    (link, key, *state),
                )
                base.execute(
                    "INSERT INTO given VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                    (link, key, told + 1, had.kind, *state, now_ms),
                )
            return told + 1

    def acked(self, link: int) -> int:
        """The last answer of which it is known that the peer has dealt with all of it."""
        return self._turns(link)[1]

    def ack(self, link: int, turn: int) -> None:
        """Note that the peer has dealt with an answer, and perhaps with parts of later ones."""
        with self._writing() as base:
            told, _ = self._turns(link)
            turns = (link, told, min(turn, told))
            base.execute("INSERT OR REPLACE INTO turns VALUES (?, ?, ?)", turns)
            base.execute("UPDATE given SET doubt = 1 WHERE link = ? AND turn > ?", (link, turn))

    def doubt(self) -> None:
        """Some peer did not get all it asked for, so none may have taken all it was told."""
        with self._writing() as base:
            base.execute("UPDATE given SET doubt = 1")

    def past(self, link: int, turn: int, after: bytes, limit: int) -> list[bytes]:
        """Paths the peer was given something at, for certain, up to an answer; ascending."""
        sql = (
            "SELECT DISTINCT key FROM given WHERE link = ? AND turn <= ? AND doubt = 0"
            " AND key > ? ORDER BY key LIMIT ?"
        )
        return [bytes(row[0]) for row in self._all(sql, link, turn, after, limit)]

    def owed(self, link: int, after: bytes, limit: int) -> list[bytes]:
        """Paths the peer was given something at and has not shown it; ascending."""
        sql = "SELECT DISTINCT key FROM given WHERE link = ? AND key > ? ORDER BY key LIMIT ?"
        return [bytes(row[0]) for row in self._all(sql, link, after, limit)]

    def settle(self, link: int, keys: Iterable[bytes]) -> None:
        """Note that nothing is owed at some paths: the peer has what is here."""
        with self._writing() as base:
            base.executemany(
                "DELETE FROM given WHERE link = ? AND key = ?", ((link, key) for key in keys)
            )

    # SQLite

    def _turns(self, link: int) -> tuple[int, int]:
        row = self._one("SELECT told, acked FROM turns WHERE link = ?", link)
        return (0, 0) if row is None else (row[0], row[1])

    def _prepare(self, path: Path | None) -> None:
        version = self._base.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise CorruptError(f"{path} was written by a newer aeorsync; upgrade this one")
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        if version == 0:
            self._base.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(sql, *values)
        return rows[0] if rows else None

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._base.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                yield self._base
                self._base.execute("COMMIT")
            except BaseException as error:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    text = f"the disk refused a write: {error}; nothing was changed"
                    raise UnavailableError(text) from error
                raise


def _had(row: tuple[Any, ...]) -> Had:
    kind, mark, context = row
    return Had(kind, mark, _unpack(context))


def _given(row: tuple[Any, ...]) -> Given:
    kind, mark, context, turn, at, doubt = row
    fields = {"turn": turn, "at": at, "is_doubtful": bool(doubt)}
    return Given(kind, mark, _unpack(context), **fields)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Vector).decode
