"""What a terminal shows while folders are kept."""

import io

from rich.console import Console

from aeorsync.cli.sync_screen import MAX_LINES, LiveScreen, Row
from aeorsync.folder import events
from aeorsync.folder.events import Outcome, Phase


def shown(row: Row, now: float) -> str:
    console = Console(file=io.StringIO(), width=120, no_color=True)
    console.print(*row.cells(now))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_a_row_tells_files_bytes_rate_what_is_left_and_the_file_at_hand() -> None:
    row = Row("/home/ada/docs")
    assert "connecting" in shown(row, 0)
    row.take(events.PassStarted("start", is_full=True), 0)
    row.take(events.Progress(Phase.PUSH, 0, 100, 0, 10_000_000), 0)
    row.take(events.Uploaded("a\x1b.txt", 5, is_new=True), 1)
    row.take(events.Progress(Phase.PUSH, 20, 100, 2_000_000, 10_000_000), 2)
    text = shown(row, 2)
    for words in ("uploading", "20/100 files", "2.0 MB/10.0 MB", "1.0 MB/s", "0:08 left"):
        assert words in text
    assert "a\\x1b.txt" in text
    row.take(events.PassEnded(Outcome()), 3)
    assert "in sync, watching" in shown(row, 3)


def test_a_rate_is_that_of_the_last_seconds() -> None:
    row = Row("x")
    for second in range(10):
        size = second * 1_000_000 if second < 5 else 5_000_000
        row.take(events.Progress(Phase.PULL, second, 10, size, 50_000_000), second)
    assert "MB/s" not in shown(row, 9)


def test_lines_of_a_pass_are_not_more_than_a_person_reads() -> None:
    output = io.StringIO()
    console = Console(file=output, width=120, force_terminal=True, soft_wrap=True, no_color=True)
    screen = LiveScreen(console, is_named=False)
    with screen:
        screen.event("x", events.PassStarted("start", is_full=True))
        for number in range(MAX_LINES + 7):
            screen.event("x", events.Uploaded(f"file{number}", 1, is_new=True))
        screen.event("x", events.Conflicted("c", ("copy of c",)))
        screen.event("x", events.PassEnded(Outcome()))
    text = output.getvalue()
    assert f" file{MAX_LINES - 1}\x1b" in text
    assert f" file{MAX_LINES}\x1b" not in text
    assert "... and 7 more" in text
    assert "copy of c" in text
