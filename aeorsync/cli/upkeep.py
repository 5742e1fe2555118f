"""What the commands of `cli.care` do; a module of its own, since loading it takes a while."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from aeorsync.config import Exit, load
from aeorsync.errors import BadRequestError, CorruptError, StartupError
from aeorsync.runtime.clock import SystemClock
from aeorsync.runtime.redact import redact
from aeorsync.storage.exporting import export as export_tree
from aeorsync.storage.findings import Verified
from aeorsync.storage.folder import DataFolder
from aeorsync.storage.gc import Collected, Collector
from aeorsync.storage.identities import new_node_id
from aeorsync.storage.importing import import_archive
from aeorsync.storage.opening import open_repository
from aeorsync.storage.progress import Progress as Tell
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify as verify_store

_MAX_SHOWN: Final = 100


def gc(data: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Collect garbage: forget chunks and tree nodes that nothing refers to, give space back."""
    with _opened(data) as repository, _progress(as_json=as_json) as tell:
        found = Collector(repository, SystemClock()).run(dry_run=dry_run, progress=tell)
    if as_json:
        _print_json({**asdict(found), "dry_run": dry_run})
    else:
        _tell_collected(found, dry_run=dry_run)


def verify(data: str | None, *, repair: bool, as_json: bool) -> None:
    """Check every chunk, every tree node and every file; list damage path by path."""
    with _opened(data) as repository, _progress(as_json=as_json) as tell:
        found = verify_store(repository, tell, repair=repair)
    if as_json:
        _print_json(asdict(found) | {"findings": msgspec.to_builtins(found.findings)})
    else:
        _tell_verified(found, repair=repair)
    if found.count:
        raise typer.Exit(Exit.DAMAGED)


def export(
    file: Path, data: str | None, *, snapshot: str | None, base: str | None, as_json: bool
) -> None:
    """Write everything, or a snapshot, with the history of conflicts into one new file."""
    with _opened(data) as repository, _progress(as_json=as_json) as tell:
        done = export_tree(
            repository,
            file,
            now_ms=SystemClock().now_ms(),
            snapshot=snapshot,
            base=base,
            progress=tell,
        )
    if as_json:
        _print_json({**asdict(done), "file": str(file)})
    else:
        size = decimal(done.size)
        _print(f"{file}: {done.entries} entries, {done.chunks} chunks, {size}")


def import_(file: Path, data: str | None, *, system: bool, as_json: bool) -> None:
    """Join what an export holds into a data folder, made if missing."""
    with _opened(data, importing=True) as repository, _progress(as_json=as_json) as tell:
        done = import_archive(repository, file, system=system, progress=tell)
    if as_json:
        facts = {"entries": done.entries, "skipped": done.skipped, "changed": done.changed}
        _print_json({**facts, "conflicts": done.conflicts, "file": str(file)})
        return
    _print(f"{done.entries} entries in the file, {done.changed} of them news here")
    if done.conflicts:
        _print(f"{done.conflicts} are in conflict with what was here: GET /sync/conflicts")
    if done.skipped:
        _print(
            f"{done.skipped} system entries (API keys, snapshots) left out; --system takes them"
        )


@contextmanager
def _opened(data: str | None, *, importing: bool = False) -> Iterator[Repository]:
    """The repository in a data folder; to import, it may be a new one."""
    folder = DataFolder(load({"data": data}).data)
    folder.check()
    if folder.is_new and not importing:
        text = f"{folder.path} holds no data of a node; choose another folder with -D"
        raise StartupError(text, Exit.DATA_UNUSABLE)
    was_there = folder.path.exists()
    folder.make()
    try:
        with closing(_open(folder)) as repository:
            yield repository
    except (BadRequestError, CorruptError) as error:
        if not was_there:
            # It was made a moment ago for a file that cannot be imported: nothing is in it.
            shutil.rmtree(folder.path)
        is_damage = isinstance(error, CorruptError)
        code = Exit.DAMAGED if is_damage else Exit.FAILED
        raise StartupError(error.message, Exit.BAD_ARCHIVE if importing else code) from error


def _open(folder: DataFolder) -> Repository:
    try:
        return open_repository(folder, new_node_id())
    except StartupError as error:
        if error.exit_code != Exit.DATA_LOCKED:
            raise
        text = (
            f"a node or another command uses {folder.path}; stop it first"
            " (garbage of a running node: POST /system/gc)"
        )
        raise StartupError(text, Exit.DATA_LOCKED) from error


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Tell]:
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    is_shown = console.is_terminal and not as_json
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
        task = progress.add_task("", total=None)

        def tell(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield tell


def _tell_collected(found: Collected, *, dry_run: bool) -> None:
    size, freed = decimal(found.chunk_bytes), decimal(found.freed_bytes)
    would = "would be " if dry_run else ""
    _print(f"{found.live_entries} entries, {found.versions} versions looked at")
    _print(f"{found.chunks} chunks ({size}) and {found.nodes} tree nodes {would}collected")
    if dry_run:
        _print(f"{freed} in {found.packs} packs could be given back without that")
    else:
        _print(f"{freed} given back to the disk, {found.packs} packs rewritten or removed")
    if found.held_back:
        _print(f"some was left: {found.held_back}", "yellow")


def _tell_verified(found: Verified, *, repair: bool) -> None:
    size = decimal(found.chunk_bytes)
    _print(f"{found.chunks} chunks ({size}), {found.nodes} tree nodes, {found.files} files read")
    if repair:
        _print(f"{found.recovered} chunks recovered, {found.quarantined} quarantined")
    for name in found.awaited:
        _print(f"{redact(name)} is still on its way here; a running node fetches it", "yellow")
    if not found.count:
        _print("no damage", "green")
        return
    table = Table("kind", "path", "what is wrong", box=None, pad_edge=False)
    for finding in found.findings[:_MAX_SHOWN]:
        table.add_row(finding.kind, finding.path or "-", redact(finding.text))
    _console().print(table)
    rest = found.count - min(len(found.findings), _MAX_SHOWN)
    if rest:
        _print(f"... and {rest} more; --json lists up to {len(found.findings)}")
    _print(f"{found.count} damaged", "bold red")
    if repair:
        _print("Start the node: what a peer still has is fetched again. Or put the files again.")
    else:
        _print("--repair mends what can be mended here and makes room for what peers have.")


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def _print(text: str, style: str | None = None) -> None:
    _console().print(text, style=style)


def _print_json(facts: dict[str, Any]) -> None:
    print(json.dumps(facts))  # noqa: T201 - this line is the product
