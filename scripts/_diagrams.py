"""Draws the diagrams of ``docs/`` from the tables they show; ``--check`` says if one is old."""

import re
import sys
from pathlib import Path

from aeorsync.core import links

PAGE = Path(__file__).parents[1] / "docs/design.md"
BLOCK = re.compile(r"(<!-- drawn by scripts/fix: links -->\n).*?(<!-- end -->\n)", re.DOTALL)


def drawn(text: str) -> str:
    """Return a page with its diagrams as the tables have them now."""
    made = f"```mermaid\n{links.diagram()}\n```\n\n{links.meanings()}\n"
    page, count = BLOCK.subn(lambda found: found[1] + made + found[2], text)
    if count != 1:
        sys.exit(f"{PAGE.name} has no place for the diagram of links")
    return page


def main() -> None:
    """Draw, or check."""
    text = PAGE.read_text()
    page = drawn(text)
    if "--check" in sys.argv[1:]:
        sys.exit(None if page == text else f"{PAGE.name} is old; run scripts/fix")
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
