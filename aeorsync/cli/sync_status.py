"""``aeorsync sync status``: how the folders of this machine stand, by their notes alone."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from aeorsync.cli.tables import ago
from aeorsync.config import Exit
from aeorsync.config.folders import parse_local
from aeorsync.config.state import state_folder
from aeorsync.config.values import Given
from aeorsync.errors import StartupError
from aeorsync.folder.places import Note, Places, State
from aeorsync.runtime.redact import redact

_MAX_SHOWN: Final = 20
_EXITS: Final = {
    State.NEW: Exit.OK,
    State.SYNCED: Exit.OK,
    State.CONFLICTS: Exit.CONFLICTS,
    State.PROBLEMS: Exit.PROBLEMS,
    State.OFFLINE: Exit.NODE_UNREACHABLE,
    State.STOPPED: Exit.FAILED,
}
_STYLES: Final = {
    State.NEW: "dim",
    State.SYNCED: "green",
    State.CONFLICTS: "yellow",
    State.OFFLINE: "yellow",
    State.PROBLEMS: "red",
    State.STOPPED: "red",
}
_WORST_FIRST: Final = (
    State.STOPPED,
    State.OFFLINE,
    State.PROBLEMS,
    State.CONFLICTS,
    State.SYNCED,
    State.NEW,
)


def show_status(local: str | None, *, as_json: bool) -> int:
    """Print how folders stand; return the exit code of the worst.

    Args:
        local: One folder, or a path in it; None for all.
        as_json: Print one object.

    Raises:
        StartupError: The folder was never synced.
    """
    places = Places(state_folder())
    found = places.all()
    if local is not None:
        path = parse_local(Given(local, "LOCAL"))
        found = places.around(path)
        if not found:
            text = f"{path} is in no folder that was synced; aeorsync sync status lists them"
            raise StartupError(text, Exit.USAGE)
    told = [(note, place.is_running) for place, note in found]
    if as_json:
        objects = [_facts(note, is_running=is_running) for note, is_running in told]
        print(json.dumps({"folders": objects}))  # noqa: T201 - this line is the product
    else:
        console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        for note, is_running in told:
            console.print(*_lines(note, is_running=is_running), sep="\n")
        if not told:
            console.print("No folder yet. Begin: aeorsync sync LOCAL REMOTE_URL", style="dim")
    worst = min((note for note, _ in told), key=_badness, default=None)
    return Exit.OK if worst is None else worst.exit_code or _EXITS[worst.state]


def _badness(note: Note) -> int:
    return _WORST_FIRST.index(note.state)


def _facts(note: Note, *, is_running: bool) -> dict[str, Any]:
    return {**msgspec.to_builtins(note), "is_running": is_running}


def _lines(note: Note, *, is_running: bool) -> Iterator[Text]:
    arrow = {"pull": "<-", "push": "->"}.get(note.direction, "<->")
    remote = redact(f"{note.url}{note.path}")
    yield Text.assemble((redact(note.local), "bold"), f" {arrow} {remote}")
    watched = "being kept" if is_running else "not being kept just now"
    yield Text.assemble(
        "  ",
        (_state(note), _STYLES[note.state]),
        f"; {watched}; last pass {ago(note.last_pass)}",
    )
    if note.waiting:
        yield Text(f"  {note.waiting} changes of the server wait")
    for copies in note.conflicts[:_MAX_SHOWN]:
        beside = ", ".join(map(redact, copies.copies)) or "the other side deleted it"
        yield Text.assemble("  ", ("conflict", "yellow"), f" {redact(copies.path)}: {beside}")
    yield from _rest(note.conflict_count, len(note.conflicts[:_MAX_SHOWN]))
    for trouble in note.problems[:_MAX_SHOWN]:
        text = f" {redact(trouble.path)}: {redact(trouble.message)}"
        yield Text.assemble("  ", (trouble.why, "red"), text)
    yield from _rest(len(note.problems), len(note.problems[:_MAX_SHOWN]))
    if note.conflict_count:
        yield Text("  settle them: aeorsync conflicts list", "dim")


def _state(note: Note) -> str:
    match note.state:
        case State.SYNCED:
            return "in sync"
        case State.CONFLICTS:
            return f"in sync, {note.conflict_count} in conflict"
        case State.PROBLEMS:
            return f"{note.problem_count} not in sync"
        case State.OFFLINE:
            return f"offline since {ago(note.offline_since)}: {redact(note.reason)}"
        case State.STOPPED:
            return f"stopped: {redact(note.reason)}"
        case State.NEW:
            return "never synced to its end"


def _rest(count: int, shown: int) -> Iterator[Text]:
    if count > shown:
        yield Text(f"  ... and {count - shown} more; --json lists them", "dim")
