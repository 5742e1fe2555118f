"""Sizes, times, names and tables as people read them.

Whatever a server tells may hold anything: control characters are escaped, and nothing is markup.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from aeorsync.runtime.redact import printable

COLOURS: Final = {"directory": "bold blue", "symlink": "cyan", "file": ""}
_WHOLE: Final = frozenset({"VERSION", "STORED", "MODIFIED", "DELETED", "SINCE", "MADE", "NODE"})
_RIGHT: Final = frozenset({"SIZE", "FILES", "BYTES"})


def console(*, err: bool = False) -> Console:
    """A console that takes nothing for markup."""
    return Console(stderr=err, highlight=False, markup=False, emoji=False)


def say(*parts: RenderableType, err: bool = False) -> None:
    """Print for a person; lines are never cut."""
    out = console(err=err)
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, str | Text))


def say_json(value: Any) -> None:  # noqa: ANN401  # any JSON
    """Print for a program: one line."""
    print(json.dumps(value), flush=True)  # noqa: T201 - this line is the product


def name(text: str, kind: str = "file", *, is_executable: bool = False) -> Text:
    """A name, coloured by what it is."""
    shown = Text(printable(text), COLOURS.get(kind, ""))
    if kind == "file" and is_executable:
        shown.stylize("green")
    return shown


def table(*columns: str) -> Table:
    """A table in which nothing is cut off: what it shows is there to be copied."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for column in columns:
        side: Literal["left", "right"] = "right" if column in _RIGHT else "left"
        # What a person may want to copy stays in one piece, as long as there is room.
        made.add_column(column, justify=side, overflow="fold", no_wrap=column in _WHOLE)
    return made


def when(ms: int) -> str:
    """A moment; empty for none."""
    if not ms:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Bytes."""
    return decimal(count)


def count(number: int, noun: str, many: str | None = None) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def joined(texts: Iterable[str]) -> str:
    """Texts of others, on one line."""
    return ", ".join(map(printable, texts))
