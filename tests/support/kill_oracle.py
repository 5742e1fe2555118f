"""What must be true of files after any number of kills, from what was acknowledged.

    own       paths that one writer writes at one node: what was acknowledged last is there, or,
              if the last write was cut off, what was before or what it wrote; once it was read
              it stays so
    shared    paths that all write at all nodes, each from what it has read: every content that
              was acknowledged is there, as a winner or a loser, until somebody who has seen it
              writes; then it is not

A version id names one content of one path for ever, and nobody ever reads what nobody wrote.
Contents are told by their BLAKE3; None stands for "nothing is there".
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, field

Content = str | None


@dataclass
class Findings:
    """What is wrong, and what was counted. Safe from any thread."""

    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, text: str) -> None:
        """Note a violation."""
        with self._lock:
            self.wrong.append(text)

    def count(self, what: str, number: int = 1) -> None:
        """Count something that went as it should."""
        with self._lock:
            self.counts[what] += number


class Names:
    """Which content each version id names. Safe from any thread."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._known: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def note(self, version: str, path: str, content: str) -> None:
        """Somebody read, or was told, that a version has a content."""
        with self._lock:
            known = self._known.setdefault(version, (path, content))
        if known != (path, content):
            self._findings.add(f"{version} names {known} and {(path, content)}")


class OwnPath:
    """One path of one writer."""

    def __init__(self) -> None:
        self.maybe: list[Content] = [None]
        self.ever: set[Content] = {None}
        self.etag: str | None = None

    def begin(self, content: Content) -> None:
        """A write is about to be sent."""
        self.ever.add(content)
        self.maybe = [*self.maybe, content]
        self.etag = None

    def refused(self) -> None:
        """It was answered: nothing was changed."""
        self.maybe = self.maybe[:-1]

    def acknowledged(self, etag: str | None) -> None:
        """It was answered: it is durable."""
        self.maybe = self.maybe[-1:]
        self.etag = etag

    def seen(self, content: Content, etag: str | None = None) -> str | None:
        """Somebody read it while nobody wrote; returns what is wrong."""
        if content not in self.maybe:
            word = "came back" if content in self.ever else "was never written"
            return f"{_short(content)} {word}; expected {[_short(c) for c in self.maybe]}"
        self.maybe = [content]
        self.etag = etag
        return None


class SharedPath:
    """One path of all writers. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried: set[str] = set()
        self._acknowledged: set[str] = set()
        self._gone: set[str] = set()
        self._maybe_gone: set[str] = set()
        self._picked: set[str] = set()

    def begin(self, content: Content, seen: set[str]) -> None:
        """A write by somebody who has read ``seen`` is about to be sent."""
        with self._lock:
            self._tried.update(filter(None, (content,)))
            self._maybe_gone |= seen

    def acknowledged(self, content: Content, seen: set[str]) -> None:
        """It was answered: it is durable."""
        with self._lock:
            self._acknowledged.update(filter(None, (content,)))
            self._gone |= seen - {content}

    def begin_pick(self, content: str, seen: set[str]) -> None:
        """Somebody who has read ``seen`` is about to choose one of them."""
        with self._lock:
            self._picked.add(content)
            self._maybe_gone |= seen - {content}

    def wrong(self, found: set[str]) -> list[str]:
        """What is wrong with the contents there are when all is quiet."""
        lost = self._acknowledged - self._maybe_gone - found
        back = (found & self._gone) - self._picked
        foreign = found - self._tried
        return [
            *(f"{_short(c)} is lost" for c in lost),
            *(f"{_short(c)} came back" for c in back),
            *(f"{_short(c)} was never written" for c in foreign),
        ]

    def is_known(self, content: str) -> bool:
        """Whether anybody ever tried to write this."""
        with self._lock:
            return content in self._tried


def _short(content: Content) -> str:
    return "nothing" if content is None else content[:12]
