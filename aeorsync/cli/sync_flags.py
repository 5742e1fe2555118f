"""What ``aeorsync sync`` was told, and who carries it out.

Of its own, and with little to load: `cli.entry` comes here without the help of all commands.
"""

import gc
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from aeorsync.folder.events import Event

STATUS: Final = "status"


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How to go about it, whatever the folders are.

    Attributes:
        key: The text of ``--key``.
        watch: Go on until somebody stops it.
        dry_run: Tell what would be done, change nothing.
        as_json: Print events as lines of JSON.
        quiet: Print only what needs a person.
    """

    key: str | None = None
    watch: bool = False
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False


def carry_out(  # noqa: PLR0913  # one parameter a flag
    *,
    local: str | None = None,
    remote: str | None = None,
    all_: bool = False,
    watch: bool = False,
    direction: str | None = None,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    dry_run: bool = False,
    max_delete: str | None = None,
    delete_local: bool | None = None,
    delete_remote: bool | None = None,
    config: str | None = None,
    profile: str | None = None,
    key: str | None = None,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Do what the flags say, by the names `cli.sync.sync` has for them; return the exit code.

    Raises:
        AeorError: What was said does not go together, or cannot be used.
    """
    from aeorsync.cli import folders  # noqa: PLC0415  # help and refusals need not wait for it

    flags = folders.Flags(
        direction=direction,
        include=include,
        exclude=exclude,
        max_delete=max_delete,
        delete_local=delete_local,
        delete_remote=delete_remote,
        profile=profile,
    )
    if local == STATUS and not all_ and flags == folders.Flags():
        from aeorsync.cli import sync_status  # noqa: PLC0415

        return sync_status.show_status(remote, as_json=as_json)
    chosen = folders.chosen(local, remote, flags, config=config, is_all=all_)
    how = How(key=key, watch=watch, dry_run=dry_run, as_json=as_json, quiet=quiet)
    from aeorsync.cli import hasty  # noqa: PLC0415

    done: list[Event] = []
    if (code := hasty.run(chosen, how, done)) is not None:
        return code
    from aeorsync.cli import syncing  # noqa: PLC0415

    # No higher thresholds: what a request leaves behind is a circle that holds its whole body.
    gc.freeze()
    gc.enable()
    return syncing.run(chosen, how, done)
