"""What people see is bounded and cannot act on their terminals."""

import io

import pytest
from rich.console import Console

from aeorsync.cli import words


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "\u202egnp.exe", "\x07", "\udc80"])
def test_names_from_servers_are_shown_escaped(text: str) -> None:
    assert words.name(text).plain.isprintable()
    assert words.joined([text, "b"]).isprintable()


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = words.table("NAME")
    table.add_row(words.name("[red]a[/red]"))
    words.say(words.name("[bold]b"), table)
    shown = capsys.readouterr().out
    assert "[red]a[/red]" in shown
    assert "[bold]b" in shown


def test_numbers_are_for_people() -> None:
    assert words.count(1, "file") == "1 file"
    assert words.count(2_000, "file") == "2,000 files"
    assert words.count(0, "path", "paths there") == "0 paths there"
    assert words.when(0) == ""
    assert len(words.when(1_700_000_000_000)) == 19
    assert words.size(30_000_000) == "30.0 MB"


def test_ids_stay_in_one_piece() -> None:
    table = words.table("VERSION", "WHAT")
    table.add_row("29c6cb2987b01ae0-1", "w " * 40)
    out = io.StringIO()
    Console(file=out, width=50).print(table)
    assert "29c6cb2987b01ae0-1" in out.getvalue()
