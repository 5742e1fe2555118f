"""``aeorsync key``: the cluster's signing key, by hand.

Joining hands the key over by itself. These commands are for keeping a copy in a safe place, for
nodes that cannot reach each other when they are set up, and for replacing a key that leaked. The
key is a secret: it is written to a file of mode 0600, or to standard output when that is asked
for, and appears in no log and no message; a *fingerprint* tells keys apart.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from aeorsync.cli.asking import confirm
from aeorsync.config import Exit
from aeorsync.errors import BadRequestError, StartupError, UnavailableError

if TYPE_CHECKING:
    from aeorsync.core.tokens import SigningKey
    from aeorsync.storage.folder import DataFolder

app = typer.Typer(
    name="key",
    help="Export or import the cluster's signing key.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_MAX_KEY: Final = 1024
_Data = Annotated[
    Path, typer.Option("-D", "--database", metavar="FOLDER", help="The data folder.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("export")
def export_key(
    *,
    data: _Data,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="A new file; - prints the key.")
    ],
    as_json: _Json = False,
) -> None:
    """Write the signing key to a new file that only you can read; a node may be running.

    Whoever has the key is the cluster: they can read and write everything.
    """
    # Imported here: help and refusals need not wait for it.
    from aeorsync.runtime.durable import write_once  # noqa: PLC0415
    from aeorsync.storage.folder import DataFolder  # noqa: PLC0415

    key = DataFolder(data).kept_key()
    if output == "-":
        _warn("this is the cluster's signing key: whoever has it can read and write everything")
        print(json.dumps({"signing_key": key.to_text()}) if as_json else key.to_text())  # noqa: T201
        return
    target = Path(output)
    if target.exists():
        raise StartupError(f"{target} exists; choose a new name", Exit.USAGE)
    try:
        write_once(target, key.to_text().encode() + b"\n", mode=0o600)
    except OSError as error:
        text = f"{target} cannot be written: {error.strerror}"
        raise StartupError(text, Exit.FAILED) from error
    facts = {"written": str(target), "fingerprint": key.fingerprint}
    _tell(
        facts, f"the signing key {key.fingerprint} is in {target}; keep it safe", as_json=as_json
    )


@app.command("import")
def import_key(
    *,
    source: Annotated[str, typer.Argument(metavar="FILE", help="As exported; - reads it.")],
    data: _Data,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Replace the signing key of a stopped node; a new data folder is made if there is none.

    What was signed or sealed with the old key is void: tokens (log in again), ETags
    and bases (read again), and links to nodes that still have the old key.
    """
    from aeorsync.storage.folder import DataFolder  # noqa: PLC0415

    key = _read_key(source)
    folder = DataFolder(data)
    folder.check()
    with _locked(folder):
        old = folder.kept_key() if folder.has_key else None
        if old == key:
            text = f"{data} has the signing key {key.fingerprint} already; nothing was changed"
            _tell({"fingerprint": key.fingerprint, "replaced": False}, text, as_json=as_json)
            return
        if old is not None:
            confirm(
                f"Replace the signing key {old.fingerprint} of {data} by {key.fingerprint}?"
                " All tokens, ETags and bases it signed become void.",
                is_agreed=yes,
            )
        # A join that was granted but not carried out would put its key back at the next start.
        folder.forget_grant()
        folder.save_signing_key(key)
    text = f"{data} has the signing key {key.fingerprint} now"
    if old is not None:
        text += (
            f"; {old.fingerprint} is gone. Void from now on: tokens (log in again), ETags and"
            " bases (read again), links to nodes with another key (import it there, too)"
        )
    _tell({"fingerprint": key.fingerprint, "replaced": old is not None}, text, as_json=as_json)


@contextmanager
def _locked(folder: "DataFolder") -> Iterator[None]:
    """Keep a node from starting meanwhile, and stop here if one runs."""
    from aeorsync.storage.lock import FolderLock  # noqa: PLC0415

    folder.make()
    try:
        lock = FolderLock(folder.path)
    except UnavailableError as error:
        raise StartupError(error.message, Exit.DATA_LOCKED) from error
    try:
        yield
    finally:
        lock.release()


def _read_key(source: str) -> "SigningKey":
    from aeorsync.core.tokens import SigningKey  # noqa: PLC0415

    try:
        if source == "-":
            text = sys.stdin.read(_MAX_KEY)
        else:
            with Path(source).open(encoding="ascii") as file:
                text = file.read(_MAX_KEY)
        return SigningKey.from_file(text)
    except OSError as error:
        raise StartupError(f"{source} cannot be read: {error.strerror}", Exit.USAGE) from error
    except (UnicodeDecodeError, BadRequestError) as error:
        # What is in it is not shown: it may be a key all the same.
        raise StartupError(
            f"{source} holds no signing key (one line of base64)", Exit.USAGE
        ) from error


def _tell(facts: Mapping[str, object], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(facts) if as_json else text)


def _warn(text: str) -> None:
    typer.secho(f"warning: {text}", err=True, fg=typer.colors.YELLOW)
