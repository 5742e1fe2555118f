"""Which folders to keep: those named on the command line, or those of ``aeorsync.toml``."""

from collections.abc import Sequence

import msgspec

from aeorsync.config import Exit
from aeorsync.config import folders as table
from aeorsync.config.folders import SyncFolder
from aeorsync.config.values import Given
from aeorsync.errors import StartupError


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the command line about one folder; None where nothing was."""

    direction: str | None = None
    include: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    max_delete: str | None = None
    delete_local: bool | None = None
    delete_remote: bool | None = None
    profile: str | None = None


def chosen(
    local: str | None, remote: str | None, flags: Flags, *, config: str | None, is_all: bool
) -> tuple[SyncFolder, ...]:
    """Return the folders that were asked for; at least one.

    Raises:
        StartupError: What was said does not go together, or cannot be used.
    """
    if not is_all:
        if local is None or remote is None or config is not None:
            text = "say LOCAL and REMOTE_URL, or --all; see aeorsync sync --help"
            raise StartupError(text, Exit.USAGE)
        return (named(local, remote, flags),)
    if local is not None or flags != Flags():
        text = "--all takes folders and their options from aeorsync.toml: say one or the other"
        raise StartupError(text, Exit.USAGE)
    return configured(config)


def named(local: str, remote: str, flags: Flags) -> SyncFolder:
    """Return the folder that the command line names.

    Raises:
        StartupError: Something said cannot be used.
    """
    return SyncFolder(
        local=table.parse_local(Given(local, "LOCAL")),
        remote=table.parse_remote(Given(remote, "REMOTE_URL")),
        profile=flags.profile,
        direction=table.parse_direction(Given(flags.direction or "both", "--direction")),
        include=table.parse_globs(flags.include or (), "--include"),
        exclude=table.parse_globs(flags.exclude or (), "--exclude"),
        max_delete=table.parse_max_delete(Given(flags.max_delete or "50%", "--max-delete")),
        delete_local=flags.delete_local is not False,
        delete_remote=flags.delete_remote is not False,
    )


def configured(config: str | None) -> tuple[SyncFolder, ...]:
    """Return the folders of ``aeorsync.toml``; at least one.

    Raises:
        StartupError: The file is missing, cannot be used, or lists none.
    """
    file = table.find(config)
    found = table.load(file)
    if not found:
        raise StartupError(f"{file}: lists no folder: write a [[sync]] table", Exit.CONFIG)
    return found
