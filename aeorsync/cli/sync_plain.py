"""What is told about folders where nobody watches: plain lines, or lines of JSON.

`screen_for` takes what a terminal needs (`cli.sync_screen`) only where there is one: loading it
takes longer than a pass with nothing to do.
"""

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from aeorsync.cli import sync_words
from aeorsync.cli.sync_words import Words
from aeorsync.config import colours
from aeorsync.folder import events
from aeorsync.folder.events import Event, Outcome
from aeorsync.runtime.clock import SystemClock
from aeorsync.runtime.redact import redact

REDRAWS: Final = 5
"""A second."""
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What a disk says that takes no more of what we tell."""


@contextmanager
def _unless_full() -> Iterator[None]:
    """Tell something; a disk that has no room for it is no reason to end."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise


class Screen:
    """What is told about folders, each by its name."""

    def event(self, folder: str, event: Event) -> None:
        """Take what happened."""

    def summary(self, folder: str, outcome: Outcome, conflicts: int) -> None:
        """Tell what a pass came to."""

    def ended(self, folder: str, state: str, exit_code: int, reason: str) -> None:
        """Tell why a folder is not kept any more."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question."""
        yield

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""


def screen_for(*, as_json: bool, quiet: bool, names: int) -> Screen:
    """Return the screen for this process.

    Args:
        as_json: For a program.
        quiet: Only what needs a person.
        names: How many folders there are; a single one need not be named on every line.
    """
    if as_json:
        return JsonScreen()
    if not sys.stdout.isatty() and not colours():
        return LineScreen(is_named=names > 1, quiet=quiet)
    from aeorsync.cli import sync_screen  # noqa: PLC0415  # see the top

    return sync_screen.screen_for(quiet=quiet, is_named=names > 1)


class JsonScreen(Screen):
    """One object a line."""

    def __init__(self) -> None:
        self._told_at = 0.0
        self._now = SystemClock().monotonic

    def event(self, folder: str, event: Event) -> None:
        """Take what happened."""
        if isinstance(event, events.Progress):
            now = self._now()
            if now - self._told_at < 1 / REDRAWS:
                return
            self._told_at = now
        self._print({**sync_words.facts(event), "folder": folder})

    def summary(self, folder: str, outcome: Outcome, conflicts: int) -> None:
        """The event `PassEnded` told it already."""

    def ended(self, folder: str, state: str, exit_code: int, reason: str) -> None:
        """Tell why a folder is not kept any more."""
        facts = {"event": "ended", "state": state, "exit_code": exit_code, "reason": reason}
        self._print({**facts, "folder": folder})

    @staticmethod
    def _print(facts: dict[str, object]) -> None:
        with _unless_full():
            print(json.dumps(facts), flush=True)  # noqa: T201 - this line is the product


class LineScreen(Screen):
    """One line an event; safe to be read by another program, or to be a log."""

    def __init__(self, *, is_named: bool, quiet: bool = False) -> None:
        self._is_named = is_named
        self._quiet = quiet
        self._known: dict[str, set[Event]] = {}

    def event(self, folder: str, event: Event) -> None:
        """Take what happened."""
        if not self._is_news(folder, event):
            return
        words = sync_words.worth_a_person if self._quiet else sync_words.line
        if (text := words(event)) is not None:
            self._print(folder, text)

    def summary(self, folder: str, outcome: Outcome, conflicts: int) -> None:
        """Tell what a pass came to."""
        if not self._quiet:
            self._print(folder, sync_words.summary(outcome, conflicts))

    def ended(self, folder: str, state: str, exit_code: int, reason: str) -> None:
        """Tell why a folder is not kept any more."""
        if reason:
            style = "red" if exit_code else "dim"
            self._print(folder, [(state, style), (f" {redact(reason)}", "")])

    def _is_news(self, folder: str, event: Event) -> bool:
        known = self._known.setdefault(folder, set())
        if isinstance(event, events.Settled):
            known -= {
                e for e in known if isinstance(e, events.Conflicted) and e.path == event.path
            }
        if not isinstance(event, events.Conflicted | events.Problem):
            return True
        is_news = event not in known
        known.add(event)
        return is_news

    def _print(self, folder: str, words: Words) -> None:
        line = [(f"{redact(folder)}: ", ""), *words] if self._is_named else words
        with _unless_full():
            self._show(line)
            sys.stdout.flush()

    def _show(self, line: Words) -> None:
        print("".join(text for text, _ in line))  # noqa: T201 - this line is the product
