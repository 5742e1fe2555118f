"""What must be where after people and programs worked in several synced folders at once.

Every content that somebody writes is unique and known here with the path it was written to. A
writer *ends* what it saw there: what it overwrote, deleted or moved away. When all is quiet:

    alive     was written and ended by nobody: it must be somewhere, as a file or as a copy
    ended     written once at a path, then ended there: it must not be there again, unless as
              one version of a conflict
    foreign   bytes that nobody wrote, or at a path that nobody brought them to: never

What two people do at once to one path is not ordered, so what both may be right about is not
judged: a content that was written twice at one path, or whose times or bits somebody touched,
may be there or not.
"""

import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from tests.support.folder_trees import Seen, original_of

EMPTY: Final = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
Instance = tuple[str, str]


@dataclass
class Model:
    """What was done so far."""

    births: Counter[Instance] = field(default_factory=Counter)
    alive: set[Instance] = field(default_factory=set)
    touched: set[Instance] = field(default_factory=set)
    known: set[str] = field(default_factory=lambda: {EMPTY})
    moves: list[tuple[str, str]] = field(default_factory=list)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=20_000))
    began: float = field(default_factory=time.monotonic)

    def note(self, who: str, what: str) -> None:
        """Write down what was done, for the report."""
        self.log.append(f"{time.monotonic() - self.began:9.3f} {who} {what}")

    def born(self, content: str, path: str) -> None:
        """Somebody wrote a content to a path.

        A content that was there before is the same version to all servers, whoever brings it
        back: who saw it may have ended it meanwhile, so it need not stay.
        """
        self.known.add(content)
        self.births[content, path] += 1
        if self.births[content, path] == 1:
            self.alive.add((content, path))

    def ended(self, content: str, path: str) -> None:
        """Somebody who saw a content at a path overwrote it, deleted it or moved it away."""
        self.alive.discard((content, path))

    def touch(self, content: str, path: str) -> None:
        """Somebody changed times or bits of it."""
        self.touched.add((content, path))

    def moved(self, source: str, target: str) -> None:
        """A folder got another name; what arrives in it meanwhile arrives under that."""
        self.moves.append((source, target))

    def wrong(self, seen: Seen) -> list[str]:
        """What must not be as it is, or is not and must be; in words."""
        places = [
            (leaf.content, original_of(path)) for path, leaf in seen.tree.items() if leaf.content
        ]
        copies = [(content, path) for path, some in seen.copies.items() for content in some]
        present = {content for content, _ in places} | {content for content, _ in copies}
        lost = {(c, p) for c, p in self.alive if c not in present}
        return [
            *(f"lost: {content} of {path}" for content, path in sorted(lost)),
            *(f"foreign bytes: {c} at {p}" for c, p in places + copies if c not in self.known),
            *(
                f"foreign path: {c} at {p}"
                for c, p in places + copies
                if c in self.known and not self._may_be_at(c, p)
            ),
            *(
                f"resurrected: {c} at {p}"
                for c, p in places + copies
                if self._is_over(c, p) and not self._is_contested(c, p, seen)
            ),
        ]

    def story_of(self, line: str) -> list[str]:
        """What was done to the content and the path that a line is about."""
        keys = re.findall(r"[0-9a-f]{64}", line)
        path = re.search(r"(?: at | of |: )(\w[^:]*/[^:]+)", line)
        if path is not None:
            keys.append(path[1])
        return [entry for entry in self.log if any(key in entry for key in keys)]

    def _is_over(self, content: str, path: str) -> bool:
        place = (content, path)
        if content == EMPTY or place in self.touched or place in self.alive:
            return False
        return self.births[place] == 1

    def _is_contested(self, content: str, path: str, seen: Seen) -> bool:
        """Whether it is one of the versions of a conflict, which stay until somebody chooses.

        Somebody may then choose it: it is as if it were written anew.
        """
        is_so = path in seen.copies or any(
            original_of(other) == path != other for other in seen.tree
        )
        if is_so:
            self.births[content, path] += 1
        return is_so

    def _may_be_at(self, content: str, path: str) -> bool:
        """Whether it was written there, or in a folder that was there before it was renamed."""
        if content == EMPTY:
            return True
        seen: set[str] = set()
        waiting = [path]
        while waiting:
            at = waiting.pop()
            if self.births[content, at]:
                return True
            seen.add(at)
            for source, target in self.moves:
                if at.startswith(f"{target}/"):
                    before = source + at[len(target) :]
                    if before not in seen:
                        seen.add(before)
                        waiting.append(before)
        return False
