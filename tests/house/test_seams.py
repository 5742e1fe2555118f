"""Each outside fact has one door, so that a simulation can stand in it."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "aeorsync"

DOORS = {
    "chance": (
        r"^\s*(import|from) (random|secrets)\b|\buuid[14]\b|\burandom\b",
        {"runtime/chance.py"},
    ),
    "threads": (
        r"\bThreadPoolExecutor\b|\bthreading\.Thread\(",
        # Programs beside a server: the portal of synchronous callers, a folder's watch and hashes.
        {"runtime/threads.py", "runtime/portal.py", "folder/watch.py", "folder/content.py"},
    ),
    "time": (r"^\s*(import|from) time\b", {"runtime/clock.py", "cli/sync_screen.py"}),
}


def test_chance_threads_and_time_are_taken_in_one_place_each() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        for what, (pattern, doors) in DOORS.items():
            if place not in doors and re.search(pattern, path.read_text(), re.MULTILINE):
                found.append(f"{place}: {what}")
    assert found == []
