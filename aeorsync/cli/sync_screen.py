"""Where the events of folders go: a live terminal, plain lines, or lines of JSON.

| | terminal | no terminal, ``--quiet`` | ``--json`` |
| --- | --- | --- | --- |
| progress | bars, redrawn 5 times a second | none | at most 5 lines a second |
| changes | the first `MAX_LINES` of a pass | a line each, none with ``--quiet`` | a line each |
| conflicts, problems, offline | a line each | a line each | a line each |

Conflicts and problems are told when they are news, not again after every pass.
"""

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
from aeorsync.cli.sync_plain import REDRAWS, LineScreen
from aeorsync.cli.sync_words import Words
from aeorsync.folder import events
from aeorsync.folder.events import Event, Phase
from aeorsync.runtime.redact import redact

MAX_LINES: Final = 40
_WINDOW_S: Final = 3.0
_BAR: Final = 24
_PHASES: Final = {
    Phase.SCAN: "looking",
    Phase.LISTING: "listing",
    Phase.PULL: "downloading",
    Phase.PUSH: "uploading",
}


def screen_for(*, quiet: bool, is_named: bool) -> LineScreen:
    """Return the screen for a terminal, or what is as good as one."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if console.is_terminal and not quiet:
        return LiveScreen(console, is_named=is_named)
    return ColourScreen(console, is_named=is_named, quiet=quiet)


class ColourScreen(LineScreen):
    """The same lines, with colours."""

    def __init__(self, console: Console, *, is_named: bool, quiet: bool = False) -> None:
        super().__init__(is_named=is_named, quiet=quiet)
        self._console = console

    def _show(self, line: Words) -> None:
        self._console.print(Text.assemble(*line))


class LiveScreen(ColourScreen):
    """Bars that are redrawn in place, lines above them."""

    def __init__(self, console: Console, *, is_named: bool) -> None:
        super().__init__(console, is_named=is_named)
        self._rows: dict[str, Row] = {}
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=REDRAWS,
            transient=True,
        )

    def event(self, folder: str, event: Event) -> None:
        """Take what happened."""
        row = self._rows.setdefault(folder, Row(folder))
        row.take(event, time.monotonic())
        if isinstance(event, events.PassEnded) and row.unsaid:
            self._print(folder, [(f"... and {row.unsaid} more", "dim")])
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
