"""Checksums of the rows that no hash names, and the search for those that are damaged.

Chunks and tree nodes are named by their hash. What else the database holds would be believed
whatever a failing disk made of it, so each row has a checksum of its own:

    rows     is checked          damaged                                  to repair
    ----     ----------          -------                                  ---------
    notes    whenever it is read is an error: head, links, cursors       (restore from a peer)
    feed     by `problems`       peers miss it until trees are compared  is cut there: peers list
                                                                         everything once
    roots    by `problems`       likewise                                the row goes
    nodes    by `problems`       when it was made: may go too early      counts as the oldest

CRC-32 finds what disks do, and is no protection from people. When a chunk was last touched is not
checked: it decides nothing but when garbage goes. A row of an older version has no checksum.
"""

import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from aeorsync.errors import CorruptError
from aeorsync.storage.base import OLDEST, Change
from aeorsync.storage.database import REMEDY, Database

_encode = msgspec.msgpack.Encoder().encode
_PAGE: Final = 2000
_MAX_PROBLEMS: Final = 100


def note_sum(space: str, name: str, value: bytes) -> int:
    """Checksum of a note."""
    return zlib.crc32(value, zlib.crc32(f"{space}\0{name}\0".encode()))


def change_sum(change: Change) -> int:
    """Checksum of a row of the feed."""
    return zlib.crc32(_encode(change))


def number_sum(name: bytes, number: int) -> int:
    """Checksum of a number that belongs to a name: of a root's place, of a node's birth."""
    return zlib.crc32(name, zlib.crc32(b"%d" % number))


def check_note(space: str, name: str, value: object, kept: object) -> bytes:
    """The value of a note that was read.

    Raises:
        CorruptError: It is not what was written.
    """
    if isinstance(value, bytes) and (kept is None or kept == note_sum(space, name, value)):
        return value
    raise CorruptError(f"a record of the database ({space}) is damaged; {REMEDY}")


def problems(database: Database, *, repair: bool) -> list[tuple[str, str]]:
    """What is wrong with the database beside chunks and the bodies of nodes.

    Args:
        database: At rest.
        repair: Mend what can be mended; then only what is left is told.

    Returns:
        Kind (as of `storage.verify.Finding`) and a sentence, of each.

    Raises:
        CorruptError: It cannot be read any further.
    """
    found = [("database", str(text)) for text in _structure(database) if text != "ok"]
    found += [("database", text) for text in _notes(database)]
    mended = [*_feed(database), *_roots(database), *_births(database)]
    if repair:
        _mend(database)
        return found
    return found + mended


def _structure(database: Database) -> Iterator[object]:
    for (text,) in database.rows(f"PRAGMA integrity_check({_MAX_PROBLEMS})"):
        yield text


def _notes(database: Database) -> Iterator[str]:
    for space, name, value, kept in database.rows("SELECT space, name, value, sum FROM notes"):
        try:
            check_note(space, name, value, kept)
        except CorruptError:
            yield f"the record {space} {name!r} is damaged; {REMEDY}"


def _feed(database: Database) -> Iterator[tuple[str, str]]:
    for seq in _damaged_changes(database):
        yield "feed", f"row {seq} is damaged"


def _damaged_changes(database: Database) -> Iterator[int]:
    after = -1
    while rows := database.rows(
        "SELECT seq, key, was, now, via, sum FROM feed WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, _PAGE),
    ):
        after = rows[-1][0]
        for *values, kept in rows:
            if kept is not None and change_sum(Change(*values)) != kept:
                yield values[0]


def _roots(database: Database) -> Iterator[tuple[str, str]]:
    for root in _damaged_numbers(database, "SELECT root, seq, sum FROM roots"):
        yield "feed", f"the place of root {_shown(root)} in it is damaged"


def _births(database: Database) -> Iterator[tuple[str, str]]:
    for name in _damaged_numbers(database, "SELECT name, born, sum FROM nodes"):
        yield "database", f"when tree node {_shown(name)} was made is damaged"


def _damaged_numbers(database: Database, query: str) -> Iterator[Any]:
    for name, number, kept in database.rows(query):
        is_sound = isinstance(name, bytes) and isinstance(number, int)
        if not is_sound or (kept is not None and number_sum(name, number) != kept):
            yield name


def _mend(database: Database) -> None:
    changes = list(_damaged_changes(database))
    roots = list(_damaged_numbers(database, "SELECT root, seq, sum FROM roots"))
    births = list(_damaged_numbers(database, "SELECT name, born, sum FROM nodes"))
    with database.transaction() as db:
        if changes:
            db.execute("DELETE FROM feed WHERE seq <= ?", (max(changes),))
            db.execute("DELETE FROM roots WHERE seq < ?", (max(changes),))
        db.executemany("DELETE FROM roots WHERE root = ?", ((root,) for root in roots))
        db.executemany(
            "UPDATE nodes SET born = ?, sum = ? WHERE name = ?",
            ((OLDEST, number_sum(name, OLDEST), name) for name in births),
        )


def _shown(name: object) -> str:
    return name.hex() if isinstance(name, bytes) else repr(name)
