"""Where the events of folders go: a live terminal, plain lines, or lines of JSON.

| | terminal | no terminal, ``--quiet`` | ``--json`` |
| --- | --- | --- | --- |
| progress | bars, redrawn 5 times a second | none | at most 5 lines a second |
| changes | the first `MAX_LINES` of a pass | a line each, none with ``--quiet`` | a line each |
| conflicts, problems, offline | a line each | a line each | a line each |

Conflicts and problems are told when they are news, not again after every pass.
"""

import errno
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aeorsync.cli import sync_words
from aeorsync.folder import events
from aeorsync.folder.events import Event, Outcome, Phase
from aeorsync.runtime.redact import redact

MAX_LINES: Final = 40
_REDRAWS: Final = 5
_WINDOW_S: Final = 3.0
_BAR: Final = 24
_PHASES: Final = {
    Phase.SCAN: "looking",
    Phase.LISTING: "listing",
    Phase.PULL: "downloading",
    Phase.PUSH: "uploading",
}

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
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if console.is_terminal and not quiet:
        return LiveScreen(console, is_named=names > 1)
    return LineScreen(console, is_named=names > 1, quiet=quiet)


class JsonScreen(Screen):
    """One object a line."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def event(self, folder: str, event: Event) -> None:
        """Take what happened."""
        if isinstance(event, events.Progress):
            now = time.monotonic()
            if now - self._told_at < 1 / _REDRAWS:
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

    def __init__(self, console: Console, *, is_named: bool, quiet: bool = False) -> None:
        self._console = console
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
            self._print(folder, Text.assemble((state, style), f" {redact(reason)}"))

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

    def _print(self, folder: str, text: Text) -> None:
        line = Text.assemble(f"{redact(folder)}: ", text) if self._is_named else text
        with _unless_full():
            self._console.print(line)
            sys.stdout.flush()


class LiveScreen(LineScreen):
    """Bars that are redrawn in place, lines above them."""

    def __init__(self, console: Console, *, is_named: bool) -> None:
        super().__init__(console, is_named=is_named)
        self._rows: dict[str, Row] = {}
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS,
            transient=True,
        )

    def event(self, folder: str, event: Event) -> None:
        """Take what happened."""
        row = self._rows.setdefault(folder, Row(folder))
        row.take(event, time.monotonic())
        if isinstance(event, events.PassEnded) and row.unsaid:
            self._print(folder, Text(f"... and {row.unsaid} more", "dim"))
        if sync_words.worth_a_person(event) is None and sync_words.line(event) is not None:
            row.lines += 1
            if row.lines > MAX_LINES:
                return
        super().event(folder, event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question."""
        self._live.stop()
        yield
        self._live.start()

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for _ in range(2 + self._is_named):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for row in list(self._rows.values()):
            name = [Text(redact(row.folder), "bold")] if self._is_named else []
            table.add_row(*name, *row.cells(time.monotonic()))
        return table


class Row:
    """How far one folder is."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.lines = 0
        self._what = "connecting"
        self._current = ""
        self._progress: events.Progress | None = None
        self._past: deque[tuple[float, int, int]] = deque()

    @property
    def unsaid(self) -> int:
        """How many lines of this pass were not shown."""
        return max(0, self.lines - MAX_LINES)

    def take(self, event: Event, now: float) -> None:
        """Note what happened at a moment."""
        match event:
            case events.PassStarted():
                self._what, self._progress, self.lines = "looking", None, 0
            case events.Progress():
                if self._progress is None or self._progress.phase is not event.phase:
                    self._past.clear()
                self._what, self._progress = _PHASES[event.phase], event
                self._past.append((now, event.files_done, event.bytes_done))
                while self._past[-1][0] - self._past[0][0] > _WINDOW_S:
                    self._past.popleft()
            case events.Uploaded(path) | events.Downloaded(path):
                self._current = path
            case events.PassEnded():
                self._what, self._progress, self._current = "in sync, watching", None, ""
            case events.Offline():
                self._what, self._progress, self._current = "offline", None, ""
            case _:
                pass

    def cells(self, now: float) -> list[RenderableType]:
        """Return what is drawn: what goes on, a bar, figures with the file at hand."""
        progress = self._progress
        if progress is None:
            return [Text(self._what, "dim"), "", ""]
        by_bytes = progress.bytes_total > 0
        total = progress.bytes_total if by_bytes else progress.files_total
        done = progress.bytes_done if by_bytes else progress.files_done
        bar = ProgressBar(total or None, done, width=_BAR, pulse=not total, animation_time=now)
        return [Text(self._what), bar, Text(" · ".join(self._figures(progress)))]

    def _figures(self, progress: events.Progress) -> Iterator[str]:
        total = f"/{progress.files_total:,}" if progress.files_total else ""
        yield f"{progress.files_done:,}{total} files"
        files_rate, bytes_rate = self._rates()
        if progress.bytes_total:
            yield f"{decimal(progress.bytes_done)}/{decimal(progress.bytes_total)}"
            if bytes_rate:
                yield f"{decimal(int(bytes_rate))}/s"
                yield _left((progress.bytes_total - progress.bytes_done) / bytes_rate)
        elif files_rate and progress.files_total:
            yield _left((progress.files_total - progress.files_done) / files_rate)
        if self._current:
            yield redact(self._current)

    def _rates(self) -> tuple[float, float]:
        """Files and bytes a second, of late; 0 while nobody can tell."""
        if len(self._past) < 2:  # noqa: PLR2004 - a rate is between two moments
            return 0.0, 0.0
        (began, files, size), (ended, files_now, size_now) = self._past[0], self._past[-1]
        took = max(ended - began, 1e-3)
        return (files_now - files) / took, (size_now - size) / took


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
