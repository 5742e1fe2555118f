"""``aeorsync gc``, ``verify``, ``export``, ``import``: care of a data folder that no node uses.

Each takes the lock of the folder, so none runs beside a node. Progress goes to standard error when
that is a terminal; the result to standard output, for people or, with ``--json``, as one object.
"""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer

from aeorsync.config import SETTINGS

GC_EPILOG: Final = """\
Examples:

aeorsync gc -D nodeA.aeorsync --dry-run

curl -X POST -H "Authorization: Bearer $KEY" http://127.0.0.1:6830/system/gc  (while the node runs)
"""
VERIFY_EPILOG: Final = """\
Examples:

aeorsync verify -D nodeA.aeorsync

aeorsync verify -D nodeA.aeorsync --repair --json
"""
EXPORT_EPILOG: Final = """\
Examples:

aeorsync export -D nodeA.aeorsync all.aeorsync-export

aeorsync export -D nodeA.aeorsync --snapshot monday monday.aeorsync-export

aeorsync export -D nodeA.aeorsync --from monday since-monday.aeorsync-export
"""
IMPORT_EPILOG: Final = """\
Examples:

aeorsync import -D nodeB.aeorsync all.aeorsync-export
"""

_DATA: Final = next(setting for setting in SETTINGS if setting.name == "data")
DataOption = Annotated[
    str | None,
    typer.Option(
        *_DATA.flags,
        metavar=_DATA.metavar,
        help=f"The data folder. ({_DATA.env}, default {_DATA.default})",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file.")]


def gc(
    *,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be collected.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Collect garbage: forget chunks and tree nodes that nothing refers to, give space back.

    What was put during the last 36 hours is kept whatever refers to it.
    """
    _work().gc(data, dry_run=dry_run, as_json=as_json)


def verify(
    *,
    data: DataOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; remove no version.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every chunk, every tree node and every file; list damage path by path.

    Exit code 20 says that something is damaged.
    """
    _work().verify(data, repair=repair, as_json=as_json)


def export(
    file: FileArgument,
    *,
    data: DataOption = None,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", metavar="NAME", help="Export this snapshot, not what is now."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--from", metavar="SNAPSHOT", help="Only what differs from this snapshot."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything, or a snapshot, with the history of conflicts into one new file.

    The file is as secret as the data folder: it holds all files, and hashes of API keys.
    """
    _work().export(file, data, snapshot=snapshot, base=base, as_json=as_json)


def import_(
    file: FileArgument,
    *,
    data: DataOption = None,
    system: Annotated[
        bool,
        typer.Option("--system", help="API keys, users and snapshot records too: to restore all."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Join what an export holds into a data folder, made if missing.

    What was changed on both sides becomes a conflict; nothing is lost. Exit code 21 says that the
    file is torn, altered or incomplete; then nothing was changed.
    """
    _work().import_(file, data, system=system, as_json=as_json)


def _work() -> ModuleType:
    # Imported here: help and refusals need not wait for the store.
    from aeorsync.cli import upkeep  # noqa: PLC0415

    return upkeep
