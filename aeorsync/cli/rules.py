"""What a key or user may do, in words that a person types, as rules that a node takes.

    --read docs            read and list the folder or file, and all that is in it
    --write docs           create and delete there, too
    --deny docs/private    nothing
    --rule '/a/*.txt=-r--l---'    a rule as it is; several, in their order, before the words

*The more exact path counts*, in whatever order the words are given; of one path, the stricter
word.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from aeorsync.cli.client import CommandError
from aeorsync.config import Exit

RuleOption = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="GLOB=FLAGS", help="A rule as it is, as '/a/**=-r--l---'."),
]
ReadOption = Annotated[
    list[str] | None, typer.Option("--read", metavar="PATH", help="Read and list what is there.")
]
WriteOption = Annotated[
    list[str] | None,
    typer.Option("--write", metavar="PATH", help="Read, list, create, change and delete there."),
]
DenyOption = Annotated[
    list[str] | None,
    typer.Option("--deny", metavar="PATH", help="Nothing there, though above it is allowed."),
]

_NOTHING: Final = "--------"
_READ: Final = "-r--l---"
_WRITE: Final = "crudl---"
_SPECIAL: Final = frozenset("\\*?[]{}!")

Rules = list[dict[str, str]]


def rules_of(
    rule: Sequence[str] | None,
    read: Sequence[str] | None,
    write: Sequence[str] | None,
    deny: Sequence[str] | None,
) -> Rules | None:
    """Return the rules that options state; None when none was given.

    Raises:
        CommandError: A rule has no flags.
    """
    if rule is None and read is None and write is None and deny is None:
        return None
    stated = [_as_it_is(text) for text in rule or ()]
    words = [(_NOTHING, deny), (_READ, read), (_WRITE, write)]
    placed = [(_names(path), flags) for flags, paths in words for path in paths or ()]
    # The sort is stable, so of one path the stricter word comes first.
    for names, flags in sorted(placed, key=lambda one: -len(one[0])):
        stated += _inside(names, flags)
    return stated


def shown(rules: Sequence[Mapping[str, str]]) -> str:
    """Return rules as a node lists them, one on each line, for people."""
    lines: list[str] = []
    last = ("", "")
    for rule in rules:
        glob, flags = rule["glob"], rule["permitted"]
        if last == (glob.removesuffix("/**"), flags) and glob.endswith("/**"):
            lines[-1] += " and inside"
        else:
            lines.append(f"{flags} {glob}")
        last = (glob, flags)
    return "\n".join(lines)


def _as_it_is(text: str) -> dict[str, str]:
    glob, equals, flags = text.rpartition("=")
    if not equals:
        raise CommandError(f"--rule {text}: say GLOB=FLAGS, as '/a/**=-r--l---'", Exit.USAGE)
    return {glob: flags}


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _inside(names: list[str], flags: str) -> Rules:
    """Rules for a file or folder and all that is in it."""
    if not names:
        return [{"**": flags}]
    glob = "".join(f"/{_plain(name)}" for name in names)
    return [{glob: flags}, {f"{glob}/**": flags}]


def _plain(name: str) -> str:
    """A name as a glob that matches nothing else."""
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in name)
