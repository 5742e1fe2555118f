"""Writing the rows of the embedded store, inside a transaction of the caller's."""

import sqlite3
from collections.abc import Sequence

import msgspec

from aeorsync.errors import UnavailableError
from aeorsync.storage.base import LOST, OLDEST, UNREAD, Change
from aeorsync.storage.packs import Location
from aeorsync.storage.sums import change_sum, note_sum, number_sum


def refused(error: OSError) -> UnavailableError:
    """What is told when the disk does not take a write."""
    return UnavailableError(f"the disk refused a write: {error.strerror}; nothing was changed")


def insert_nodes(db: sqlite3.Connection, nodes: dict[bytes, bytes], seq: int = OLDEST) -> None:
    """Add tree nodes born at ``seq``; those that are there keep their birth."""
    db.executemany(
        "INSERT OR IGNORE INTO nodes (name, body, born, sum) VALUES (?, ?, ?, ?)",
        ((name, body, seq, number_sum(name, seq)) for name, body in nodes.items()),
    )


def touch(db: sqlite3.Connection, touched: dict[bytes, int]) -> None:
    """Note when chunks were touched, in milliseconds since the Unix epoch."""
    db.executemany(
        "UPDATE chunks SET touched = ? WHERE id = ?",
        ((at, name) for name, at in touched.items()),
    )


def insert_locations(
    db: sqlite3.Connection, rows: dict[bytes, Location], now_ms: int, *, is_newest: bool = True
) -> None:
    """Add chunks to the index, touched now, and note where the newest pack ends.

    Args:
        db: The transaction.
        rows: Where they lie.
        now_ms: When, in milliseconds since the Unix epoch.
        is_newest: Whether they are the last that were appended.
    """
    db.executemany(
        "INSERT OR IGNORE INTO chunks (id, pack, at, stored, size, codec, touched)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        # In order, so that neighbours of a large index are looked up once.
        [(name, *msgspec.structs.astuple(at), now_ms) for name, at in sorted(rows.items())],
    )
    if rows and is_newest:
        end = max((location.pack, location.at + location.stored) for location in rows.values())
        write_note(db, "packs", "end", msgspec.msgpack.encode(end))


def move_locations(db: sqlite3.Connection, moves: dict[bytes, tuple[Location, Location]]) -> None:
    """Change where chunks lie, from the first place to the second.

    One that does not lie at the first any more is left as it is.
    """
    db.executemany(
        "UPDATE chunks SET pack = ?, at = ? WHERE id = ? AND pack = ? AND at = ?",
        ((new.pack, new.at, name, old.pack, old.at) for name, (old, new) in moves.items()),
    )
    if moves:
        end = max((new.pack, new.at + new.stored) for _, new in moves.values())
        write_note(db, "packs", "end", msgspec.msgpack.encode(end))


def forget_locations(db: sqlite3.Connection, rows: dict[bytes, Location]) -> None:
    """Hold chunks no more; one that lies elsewhere by now is left as it is."""
    db.executemany(
        "DELETE FROM chunks WHERE id = ? AND pack = ? AND at = ?",
        ((name, location.pack, location.at) for name, location in rows.items()),
    )


def note_places(db: sqlite3.Connection, places: dict[bytes, Location]) -> None:
    """Note where chunks lie that could not be read; see `storage.base.UNREAD`."""
    for name, place in places.items():
        write_note(db, UNREAD, name.hex(), msgspec.msgpack.encode(place))
        write_note(db, LOST, name.hex(), b"")


def mark_conflicts(db: sqlite3.Connection, conflicts: dict[bytes, bool]) -> None:
    """Note which keys entered (True) or left (False) conflict."""
    for key, is_conflict in conflicts.items():
        if is_conflict:
            db.execute("INSERT OR IGNORE INTO conflicts (key) VALUES (?)", (key,))
        else:
            db.execute("DELETE FROM conflicts WHERE key = ?", (key,))


def write_note(db: sqlite3.Connection, space: str, name: str, value: bytes) -> None:
    """Write one node-local record."""
    db.execute(
        "REPLACE INTO notes (space, name, value, sum) VALUES (?, ?, ?, ?)",
        (space, name, value, note_sum(space, name, value)),
    )


def insert_changes(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Add rows to the feed."""
    db.executemany(
        "INSERT INTO feed (seq, key, was, now, via, sum) VALUES (?, ?, ?, ?, ?, ?)",
        [(c.seq, c.key, c.was, c.now, c.via, change_sum(c)) for c in changes],
    )


def write_root(db: sqlite3.Connection, root: bytes, seq: int) -> None:
    """Note at which place in the feed a live root is current."""
    db.execute(
        "REPLACE INTO roots (root, seq, sum) VALUES (?, ?, ?)", (root, seq, number_sum(root, seq))
    )
