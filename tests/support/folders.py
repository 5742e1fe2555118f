"""A folder, its ledger, and a scan of both."""

from collections.abc import Sequence
from pathlib import Path

from aeorsync.folder.facts import Agreed, Found, Trouble
from aeorsync.folder.ignore import Ignore
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.ledger_rows import Part
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.scan import Scan
from aeorsync.runtime.clock import SystemClock

LATER = 60_000_000_000


class Later(SystemClock):
    """A clock ahead of the disk, so that nothing is too young to be sure of."""

    def now_ns(self) -> int:
        return super().now_ns() + LATER


class World:
    """A folder, its ledger, and what is left out of it."""

    def __init__(self, base: Path) -> None:
        self.path = base / "folder"
        self.path.mkdir()
        self.root = SafeRoot(self.path, "0123abcd")
        self.ledger = Ledger(base / "ledger.sqlite3")
        self.troubles: list[Trouble] = []
        self.clock: SystemClock = Later()
        self.rules = Ignore.parse(tell=self.troubles.append)

    def ignore(self, exclude: Sequence[str] = (), include: Sequence[str] = ()) -> None:
        """Scan with these patterns from now on."""
        self.rules = Ignore.parse(include, exclude, self.troubles.append)

    def close(self) -> None:
        self.ledger.close()
        self.root.close()

    def look(self) -> Scan:
        self.troubles.clear()
        return Scan(self.root, self.ledger, self.rules, self.clock, self.troubles.append)

    def part(self, path: str, temp: str) -> Part:
        return Part(path, temp, b"", b"")

    def scan(self, *paths: str) -> dict[str, Found]:
        scan = self.look()
        found = list(scan.some(paths) if paths else scan.all())
        assert len({one.path for one in found}) == len(found)
        return {one.path: one for one in found}

    def agree(self, found: dict[str, Found]) -> None:
        """Record everything as if it had been sent."""
        with self.ledger.transaction():
            for path, one in found.items():
                if one.fingerprint is None:
                    self.ledger.forget([path])
                    continue
                content = one.content.hash if one.content else one.target.encode()
                chunks = one.content.chunks if one.content else b""
                agreed = Agreed(
                    one.fingerprint, one.mtime_ns, content, chunks, is_racy=one.is_racy
                )
                self.ledger.record([(path, agreed)])
