"""What the commands of `cli.conflicts` do."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from aeorsync.cli.client import CommandError
from aeorsync.cli.local_paths import version_shown
from aeorsync.cli.remotely import Place, on, words
from aeorsync.cli.words import count, name, say, say_json, size, table, when
from aeorsync.client import AsyncClient
from aeorsync.client.model import Conflict, ConflictVersion, to_json
from aeorsync.config import Exit
from aeorsync.core.globs import Glob
from aeorsync.core.paths import TreePath, is_inside
from aeorsync.errors import AeorError, BadRequestError, NotFoundError
from aeorsync.runtime.redact import printable
from aeorsync.wire.limits import MIB

_WHAT: Final = {
    "ConcurrentModify": "both edited",
    "ConcurrentCreate": "both made it",
    "ModifyDelete": "edited, and deleted",
    "FileDirectory": "a file, and a folder",
}
_Told = list[dict[str, str]]
THIS: Final = "this"
"""The version that the named file of this machine shows."""
_MAX_COMPARED: Final = 8 * MIB
_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}


def tell_all(where: Place, *, as_json: bool) -> None:
    """List the conflicts at and below a path."""

    async def look(client: AsyncClient) -> list[Conflict]:
        found = await client.conflicts()
        return [one for one in found if _is_below(one.path, where)]

    conflicts = on(where.node, look)
    if as_json:
        say_json({"items": to_json(conflicts), "count": len(conflicts)})
        return
    if not conflicts:
        say(Text("no conflicts", "green"))
        return
    rows = table("PATH", "WHAT", "SINCE", "VERSIONS")
    for one in conflicts:
        versions = ", ".join(_brief(version) for version in one.versions)
        what = _WHAT.get(one.conflict_type, one.conflict_type)
        rows.add_row(name(one.path), Text(printable(what)), when(one.created_at), Text(versions))
    say(rows, Text("Compare: aeorsync conflicts diff PATH. Settle: conflicts resolve PATH", "dim"))


def tell(where: Place, *, as_json: bool) -> None:
    """Show one conflict."""
    conflict = on(where.node, lambda client: client.conflict(where.path))
    if as_json:
        say_json(to_json(conflict))
        return
    say(*_drawn(conflict))


def compare(where: Place, old: str, new: str) -> None:
    """Show what differs between two versions."""

    async def look(client: AsyncClient) -> tuple[list[tuple[str, bytes]], Conflict]:
        conflict = await client.conflict(where.path)
        return [await _content(client, conflict, word, where) for word in (old, new)], conflict

    [(old_name, old_bytes), (new_name, new_bytes)], conflict = on(where.node, look)
    if old_bytes == new_bytes:
        say(Text(f"{old_name} and {new_name} have the same bytes"))
        return
    texts = [_lines(old_bytes), _lines(new_bytes)]
    if texts[0] is None or texts[1] is None:
        say(
            Text(
                f"{printable(conflict.path)} is not text: {size(len(old_bytes))} in {old_name},"
                f" {size(len(new_bytes))} in {new_name}"
            )
        )
        return
    for line in difflib.unified_diff(texts[0], texts[1], old_name, new_name, lineterm=""):
        say(Text(printable(line.replace("\t", "    ")), _COLOURS.get(line[:1], "")))


def settle(
    wanted: Sequence[Place], pick: str, *, are_globs: bool, dry_run: bool, as_json: bool
) -> None:
    """Settle conflicts."""
    done, failed = on(
        wanted[0].node,
        lambda client: _settle(client, wanted, pick, are_globs=are_globs, dry_run=dry_run),
    )
    if as_json:
        say_json({"resolved": done, "errors": failed, "dry_run": dry_run})
    else:
        _tell_settled(done, dry_run=dry_run, is_none=not done and not failed)
    if failed:
        for one in failed:
            say(Text(f"{printable(one['path'])}: {printable(one['error'])}", "yellow"), err=True)
        raise CommandError(f"{count(len(failed), 'conflict')} not settled")


async def _settle(
    client: AsyncClient, wanted: Sequence[Place], pick: str, *, are_globs: bool, dry_run: bool
) -> tuple[_Told, _Told]:
    """Settle what is meant; returns what was settled, and why other conflicts were not."""
    done, failed = [], []
    for conflict, where in await _meant(client, wanted, are_globs=are_globs):
        try:
            version = _chosen(conflict, pick, where)
            if not dry_run:
                await client.resolve(conflict.path, version.id, if_match=conflict.etag)
        except AeorError as error:
            if error.retry or (len(wanted) == 1 and not are_globs):
                raise
            failed.append({"path": conflict.path, "error": words(error)})
        else:
            done.append({"path": conflict.path, "version": version.id})
    return done, failed


def _tell_settled(done: _Told, *, dry_run: bool, is_none: bool) -> None:
    word = "would be settled" if dry_run else "settled"
    for one in done:
        say(Text(f"{printable(one['path'])}: {word}, version {one['version']} stays"))
    if is_none:
        say(Text("no conflicts there", "green"))


async def _meant(
    client: AsyncClient, wanted: Sequence[Place], *, are_globs: bool
) -> list[tuple[Conflict, Place | None]]:
    if not are_globs:
        return [(await client.conflict(one.path), one) for one in wanted]
    try:
        globs = [Glob.parse(one.path) for one in wanted]
    except BadRequestError as error:
        raise CommandError(error.message, Exit.USAGE) from error
    return [
        (conflict, None)
        for conflict in await client.conflicts()
        if any(glob.matches(conflict.path) for glob in globs)
        or any(_is_below(conflict.path, one) for one in wanted)
    ]


def _chosen(conflict: Conflict, word: str, where: Place | None) -> ConflictVersion:
    """The version that a word, a number or an id means.

    Raises:
        CommandError: None.
    """
    versions = conflict.versions
    if word == THIS:
        return _shown_by(where.local if where is not None else None, conflict)
    if word == "newest":
        return max(versions, key=lambda version: (version.updated_at, version.is_winner))
    if word == "winner":
        return versions[0]
    if word == "loser" and len(versions) > 2:  # noqa: PLR2004  # two sides
        numbers = f"2 to {len(versions)}"
        raise CommandError(f"{conflict.path} has several losers: say {numbers}", Exit.USAGE)
    at = 1 if word == "loser" else int(word) - 1 if word.isdecimal() and len(word) < 4 else -1  # noqa: PLR2004
    if 0 <= at < len(versions):
        return versions[at]
    for version in versions:
        if version.id == word:
            return version
    hint = f"winner, loser, newest, 1 to {len(versions)}, or an id"
    raise CommandError(f"{conflict.path} has no version {word!r:.40}; say {hint}", Exit.USAGE)


def _shown_by(file: Path | None, conflict: Conflict) -> ConflictVersion:
    """The version that a file of this machine shows."""
    if file is None:
        raise CommandError(f"say which version of {conflict.path}: --pick", Exit.USAGE)
    version = version_shown(file, conflict.versions)
    if version is None:
        raise CommandError(
            f"{file} shows no version of {conflict.path}: it was changed since it was synced, or"
            " is gone. Run aeorsync sync first, or say --pick"
        )
    return version


async def _content(
    client: AsyncClient, conflict: Conflict, word: str, where: Place
) -> tuple[str, bytes]:
    """A name for a version, and its bytes."""
    if word == "base":
        return await _base(client, conflict)
    version = _chosen(conflict, word, where)
    at = conflict.versions.index(version) + 1
    shown = f"{at} ({when(version.updated_at)})"
    if version.deleted:
        return f"{shown}, deleted", b""
    if version.target is not None:
        return f"{shown}, a link", version.target.encode()
    if version.kind != "file":
        raise CommandError(f"version {at} of {conflict.path} is a {version.kind}")
    if version.size > _MAX_COMPARED:
        raise CommandError(f"version {at} of {conflict.path} is too long: {size(version.size)}")
    return shown, await client.read(conflict.path, version=version.id)


async def _base(client: AsyncClient, conflict: Conflict) -> tuple[str, bytes]:
    """What all versions were made from, where a snapshot from before still has it."""
    first = min(version.updated_at for version in conflict.versions)
    ids = {version.id for version in conflict.versions}
    for row in (await client.history(conflict.path)).history:
        is_before = row.version is not None and row.version not in ids and row.updated_at < first
        if is_before and not row.conflict and row.size <= _MAX_COMPARED:
            body = await client.read(conflict.path, version=row.version)
            return f"base ({when(row.updated_at)}, snapshot {printable(row.snapshot)})", body
    raise NotFoundError(
        f"what {conflict.path} was before is in no snapshot; compare the versions with each other"
    )


def _drawn(conflict: Conflict) -> Iterable[RenderableType]:
    what = _WHAT.get(conflict.conflict_type, conflict.conflict_type)
    yield Text.assemble((printable(conflict.path), "bold"), f"  {printable(what)}")
    rows = table("", "VERSION", "WHAT", "SIZE", "STORED", "NODE", "")
    for at, version in enumerate(conflict.versions, 1):
        kind = "deleted" if version.deleted else version.kind
        rows.add_row(
            str(at),
            printable(version.id),
            f"{kind} -> {printable(version.target)}" if version.target else kind,
            "" if version.deleted else size(version.size),
            when(version.updated_at),
            str(version.node_id),
            Text("shown", "green") if version.is_winner else "",
        )
    yield rows
    yield Text("Settle: aeorsync conflicts resolve PATH --pick NUMBER", "dim")


def _brief(version: ConflictVersion) -> str:
    return "deleted" if version.deleted else size(version.size)


def _is_below(path: str, where: Place) -> bool:
    return is_inside(TreePath(path), where.path)


def _lines(body: bytes) -> list[str] | None:
    """Lines of a text; None when it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.splitlines()
