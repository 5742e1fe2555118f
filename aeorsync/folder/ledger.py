"""What both sides last agreed on: the memory of one pair of a folder and a remote path.

An SQLite file outside of the folder. Everything a pass did is written in one transaction, so that
a crash leaves the state before or after it, and a pass can be repeated.

    table      one row                                   written by
    -----      -------                                   ----------
    folders    a folder that something was agreed in     `record`; ``seen`` by the scan
    entries    a path: `Agreed`                          `record`, `forget`
    copies     a conflict copy beside a path: `Copy`     `add_copy`, `drop_copy`
    pending    a change of the server not taken over     `postpone`, `settle`
    partials   a download that was interrupted           `begin_part`, `end_part`
    notes      cursor, root, last pass                   `note`

*Seen* is what makes a scan fast: the digest of a whole folder's listing at which everything in it
was as agreed. As long as the listing has that digest, no row of the folder is read. Whatever
changes a row of the folder drops it.

No memory is safe: where the file is missing or broken, everything is compared by content and
nothing is deleted. Two processes never work on one pair (`lock.PairLock`).

Blocking; safe from any thread.
"""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.folder import facts
from aeorsync.folder.facts import FOLDER, Agreed, Copy, Fingerprint
from aeorsync.folder.ledger_rows import (
    COPIES,
    COPIES_IN,
    COPIES_OF,
    ROWS,
    ROWS_TO,
    Part,
    Row,
    columns,
    subtree,
    to_agreed,
    to_copy,
)
from aeorsync.folder.ledger_schema import open_database

_REMEMBERED: Final = 4096


class Ledger:
    """The memory of one pair."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it when it is not there; its folder exists.

        Raises:
            CorruptError: It is damaged, no ledger, or of a later version. Moved away, it is
                begun anew: then nothing is deleted, and what is equal is not sent again.
            UnavailableError: The disk refused.
        """
        self.path = path
        self._lock = threading.RLock()
        self._folders: OrderedDict[str, int] = OrderedDict()
        self._lasts = True
        self.is_new = not path.exists()
        try:
            self._db = open_database(path)
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"{path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise CorruptError(
                f"{path} is damaged ({error}); move it away to begin anew: nothing is deleted"
                " then, and what is equal on both sides is not sent again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self, *, lasts: bool = True) -> Iterator[None]:
        """All that is written in the block is written or nothing is; may be nested.

        Args:
            lasts: Whether it is durable then, with all before it. Else a power cut may undo it,
                and what came after it; the outermost block decides.

        Raises:
            UnavailableError: The disk refused; nothing was written.
            CorruptError: The file is damaged; likewise.
        """
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            try:
                if lasts is not self._lasts:
                    self._db.execute(f"PRAGMA synchronous={'FULL' if lasts else 'NORMAL'}")
                    self._lasts = lasts
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._folders.clear()
                if isinstance(error, sqlite3.OperationalError):
                    raise UnavailableError(f"the disk refused {self.path}: {error}") from error
                if isinstance(error, sqlite3.DatabaseError):
                    raise CorruptError(f"{self.path} is damaged: {error}") from error
                raise

    # What was agreed.

    def record(self, agreed: Iterable[tuple[str, Agreed]]) -> None:
        """Remember what both sides have at some paths."""
        with self.transaction():
            parent, folder = "", -1
            rows = []
            for path, entry in agreed:
                if facts.parent(path) != parent or folder < 0:
                    parent = facts.parent(path)
                    folder = self._folder(parent, make=True)
                rows.append((folder, facts.name(path), *columns(entry)))
            self._db.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows
            )

    def refresh(self, path: str, fingerprint: Fingerprint, *, is_racy: bool) -> None:
        """Remember how an entry looks whose content and times are as agreed."""
        with self.transaction():
            folder = self._folder(facts.parent(path))
            self._db.execute(
                "UPDATE entries SET (kind, size, disk_mtime, ctime, inode, executable, racy)"
                " = (?,?,?,?,?,?,?) WHERE folder = ? AND name = ?",
                (*fingerprint, is_racy, folder, facts.name(path)),
            )
            self.unsee(facts.parent(path))

    def forget(self, paths: Iterable[str]) -> None:
        """Forget what was agreed about some paths, not about what lies below them."""
        with self.transaction():
            places = [(self._folder(facts.parent(path)), facts.name(path)) for path in paths]
            self._db.executemany("DELETE FROM entries WHERE folder = ? AND name = ?", places)
            folders = {(folder,) for folder, _ in places}
            self._db.executemany("UPDATE folders SET seen = NULL WHERE id = ?", folders)

    def forget_below(self, path: str) -> None:
        """Forget what was agreed about a path and everything below it."""
        with self.transaction():
            for number in self._below(path):
                self._db.execute("DELETE FROM entries WHERE folder = ?", (number,))
                self._db.execute("UPDATE folders SET seen = NULL WHERE id = ?", (number,))
            if path:
                self.forget([path])

    def agreed(self, path: str) -> Agreed | None:
        """What was agreed about a path."""
        if not path:
            return Agreed(FOLDER)
        row = self._one(
            "SELECT * FROM entries WHERE folder = ? AND name = ?",
            (self._folder(facts.parent(path)), facts.name(path)),
        )
        return to_agreed(row[1:]) if row else None

    def children(self, folder: str) -> list[tuple[str, Agreed]]:
        """What was agreed about the entries of one folder, by path, sorted by name."""
        number = self._folder(folder)
        rows = self._all("SELECT * FROM entries WHERE folder = ? ORDER BY name", (number,))
        return [(facts.join(folder, row[1]), to_agreed(row[1:])) for row in rows]

    def below(self, folder: str = "") -> Iterator[tuple[str, Agreed]]:
        """What was agreed below a folder, folder by folder; each before what is in it."""
        for path in self._paths_below(folder):
            yield from self.children(path)

    def by_content(self, content: bytes, limit: int = 8) -> list[tuple[str, Agreed]]:
        """Some files whose agreed content has this hash."""
        rows = self._all(
            "SELECT path, entries.* FROM entries JOIN folders ON id = folder"
            " WHERE kind = 2 AND content = ? LIMIT ?",
            (content, limit),
        )
        return [(facts.join(row[0], row[2]), to_agreed(row[2:])) for row in rows]

    def count(self) -> int:
        """How many paths something is agreed about; reads an index of all of them."""
        return int(self._all("SELECT count(*) FROM entries")[0][0])

    def is_empty(self) -> bool:
        """Whether nothing is agreed about any path."""
        return self._one("SELECT 1 FROM entries LIMIT 1", ()) is None

    # For the scan.

    def seen(self, folder: str) -> bytes | None:
        """The digest of a folder's listing when all in it was as agreed."""
        row = self._one("SELECT seen FROM folders WHERE path = ?", (folder,))
        return row[0] if row else None

    def see(self, folders: Iterable[tuple[str, bytes]]) -> None:
        """Remember the digests of some folders' listings."""
        with self.transaction():
            for path, digest in folders:
                number = self._folder(path, make=True)
                self._db.execute("UPDATE folders SET seen = ? WHERE id = ?", (digest, number))

    def unsee(self, folder: str) -> None:
        """Have the next scan look at every entry of a folder."""
        with self.transaction():
            self._db.execute("UPDATE folders SET seen = NULL WHERE path = ?", (folder,))

    def rows(self, folder: str, first: str = "", last: str | None = None) -> list[Row]:
        """The fingerprints of a folder's entries from one name to another, both included."""
        some = self._folder(folder), first
        return self._all(ROWS, some) if last is None else self._all(ROWS_TO, (*some, last))

    # Conflict copies.

    def add_copy(self, path: str, copy: Copy) -> None:
        """Remember that the file at ``path`` is a version of another path."""
        with self.transaction():
            folder = self._folder(facts.parent(path), make=True)
            values = (*copy.fingerprint, copy.path, copy.version, copy.etag, copy.content)
            self._db.execute(
                "INSERT OR REPLACE INTO copies VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (folder, facts.name(path), *values),
            )

    def drop_copy(self, path: str) -> None:
        """Forget a conflict copy."""
        with self.transaction():
            self._db.execute(
                "DELETE FROM copies WHERE folder = ? AND name = ?",
                (self._folder(facts.parent(path)), facts.name(path)),
            )
            self.unsee(facts.parent(path))

    def copies(self, folder: str | None = None) -> dict[str, Copy]:
        """The conflict copies in one folder, or all, by their paths."""
        if folder is None:
            rows = self._all(COPIES)
        else:
            rows = self._all(COPIES_IN, (self._folder(folder),))
        return {facts.join(row[0], row[2]): to_copy(row[3:]) for row in rows}

    def copies_of(self, path: str) -> dict[str, Copy]:
        """The conflict copies of one path, by their own paths."""
        rows = self._all(COPIES_OF, (path,))
        return {facts.join(row[0], row[2]): to_copy(row[3:]) for row in rows}

    # Changes of the server that were not taken over.

    def postpone(self, path: str, change: bytes) -> None:
        """Remember a change of the server for a later pass, in place of an earlier one."""
        self._do("INSERT OR REPLACE INTO pending (path, change) VALUES (?,?)", (path, change))

    def postpone_all(self, changes: Iterable[tuple[str, bytes]]) -> None:
        """The same for many paths at once."""
        with self.transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO pending (path, change) VALUES (?,?)", changes
            )

    def settle(self, *paths: str) -> None:
        """Forget changes that were taken over, or are no more."""
        with self.transaction():
            self._db.executemany("DELETE FROM pending WHERE path = ?", [(path,) for path in paths])

    def pending(self, after: str = "", limit: int = 1000) -> list[tuple[str, bytes]]:
        """Changes that wait, by path, from the one after ``after`` on."""
        return self._all(
            "SELECT path, change FROM pending WHERE path > ? ORDER BY path LIMIT ?", (after, limit)
        )

    def change_of(self, path: str) -> bytes | None:
        """The change that waits at a path; None for none."""
        row = self._one("SELECT change FROM pending WHERE path = ?", (path,))
        return row[0] if row else None

    def waiting_inside(self, folder: str) -> set[str]:
        """Paths in a folder at which a change waits."""
        # The character after the slash ends what begins with the folder and a slash.
        ends = f"{folder}/", f"{folder}0"
        return {
            row[0]
            for row in self._all("SELECT path FROM pending WHERE path BETWEEN ? AND ?", ends)
        }

    def count_pending(self) -> int:
        """How many changes wait."""
        return int(self._all("SELECT count(*) FROM pending")[0][0])

    def has_pending(self) -> bool:
        """Whether any change waits."""
        return self._one("SELECT 1 FROM pending LIMIT 1", ()) is not None

    # Downloads that were interrupted.

    def begin_part(self, part: Part) -> None:
        """Remember a download before its first byte arrives, in place of an earlier one."""
        self._do(
            "INSERT OR REPLACE INTO partials VALUES (?,?,?,?)",
            (part.path, part.temp, part.content, part.chunks),
        )

    def end_part(self, path: str) -> None:
        """Forget a download that is done or given up."""
        self._do("DELETE FROM partials WHERE path = ?", (path,))

    def parts(self) -> list[Part]:
        """Downloads that were begun and not ended."""
        return [
            Part(*row) for row in self._all("SELECT path, temp, content, chunks FROM partials")
        ]

    # Notes.

    def note(self, name: str, value: str | None) -> None:
        """Remember something by name; None forgets it."""
        if value is None:
            self._do("DELETE FROM notes WHERE name = ?", (name,))
        else:
            self._do("INSERT OR REPLACE INTO notes (name, value) VALUES (?,?)", (name, value))

    def note_all(self, notes: Mapping[str, str | None]) -> None:
        """The same for many names at once."""
        gone = [(name,) for name, value in notes.items() if value is None]
        kept = [(name, value) for name, value in notes.items() if value is not None]
        with self.transaction():
            self._db.executemany("DELETE FROM notes WHERE name = ?", gone)
            self._db.executemany("INSERT OR REPLACE INTO notes (name, value) VALUES (?,?)", kept)

    def notes(self, prefix: str) -> dict[str, str]:
        """What was remembered by names that begin so."""
        rows = self._all(
            "SELECT name, value FROM notes WHERE name >= ? AND name < ? ORDER BY name",
            (prefix, prefix + "\U0010ffff"),
        )
        return dict(rows)

    def noted(self, name: str) -> str | None:
        """What was remembered by that name."""
        row = self._one("SELECT value FROM notes WHERE name = ?", (name,))
        return row[0] if row else None

    # Below: SQLite.

    def _folder(self, path: str, *, make: bool = False) -> int:
        """The number of a folder; -1 when it has none. ``make`` gives it one and unsees it."""
        with self._lock:
            number = self._folders.get(path)
            if number is None:
                row = self._db.execute("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()
                if row is None and not make:
                    return -1
                if row is None:
                    text = "INSERT INTO folders (path) VALUES (?) RETURNING id"
                    row = self._db.execute(text, (path,)).fetchone()
                number = int(row[0])
                self._folders[path] = number
                if len(self._folders) > _REMEMBERED:
                    self._folders.popitem(last=False)
            if make:
                self._db.execute("UPDATE folders SET seen = NULL WHERE id = ?", (number,))
            return number

    def _below(self, path: str) -> list[int]:
        return [row[0] for row in self._all(*subtree(path))]

    def _paths_below(self, path: str) -> list[str]:
        return [row[1] for row in self._all(*subtree(path))]

    def _do(self, text: str, values: tuple[object, ...]) -> None:
        with self.transaction():
            self._db.execute(text, values)

    def _one(self, text: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        rows = self._all(text, values)
        return rows[0] if rows else None

    def _all(self, text: str, values: Iterable[object] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(text, tuple(values)).fetchall()
            except sqlite3.DatabaseError as error:
                raise CorruptError(f"{self.path} cannot be read: {error}") from error
