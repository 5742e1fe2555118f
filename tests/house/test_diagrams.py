"""The diagrams of the docs show the tables as they are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_diagram_of_links_is_the_table() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/_diagrams.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
