"""Where the command begins: ``aeorsync sync`` goes a short way, all else the whole one.

Loading all commands with their help takes longer than many a pass over a folder. So what says
plainly ``sync``, with flags from `FLAGS`, is read here, and so is ``--version``. Whatever is not
as plain as that (help, mistakes, completion, short flags in one word) is left to `cli.main`,
which knows all of it. For the same reason nothing is loaded before it is known what was asked.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

FLAGS: "Final[dict[str, tuple[str, object]]]" = {
    "--all": ("all_", True),
    "--watch": ("watch", True),
    "-w": ("watch", True),
    "--direction": ("direction", str),
    "--include": ("include", list),
    "--exclude": ("exclude", list),
    "--dry-run": ("dry_run", True),
    "-n": ("dry_run", True),
    "--max-delete": ("max_delete", str),
    "--delete-local": ("delete_local", True),
    "--no-delete-local": ("delete_local", False),
    "--delete-remote": ("delete_remote", True),
    "--no-delete-remote": ("delete_remote", False),
    "--config": ("config", str),
    "-c": ("config", str),
    "--profile": ("profile", str),
    "--key": ("key", str),
    "--json": ("as_json", True),
    "--quiet": ("quiet", True),
    "-q": ("quiet", True),
}
"""Each flag of ``aeorsync sync``: its parameter, and its value, or what the next word becomes."""
_PLACES: "Final" = ("local", "remote")


def main() -> int:
    """Run the command of ``sys.argv``; return the exit code, or exit with it."""
    words = sys.argv[1:]
    if words == ["--version"]:
        from aeorsync import __version__  # noqa: PLC0415

        return _say(f"aeorsync {__version__}")
    given = read(words)
    if given is None:
        from aeorsync.cli import main as whole  # noqa: PLC0415  # takes a while

        return whole.main()
    import gc  # noqa: PLC0415

    try:
        # What loading leaves behind stays to the end: looking through it is wasted.
        gc.disable()
        _load_structs()
        from aeorsync.cli import sync_flags  # noqa: PLC0415  # not needed by the above

        code = sync_flags.carry_out(**given)
    except BaseException as error:  # noqa: BLE001  # told as for any command
        from aeorsync.cli import main as whole  # noqa: PLC0415

        return whole.failed(error)
    if "asyncio" not in sys.modules:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End at once: no loop and no thread was there, so only memory is left to take apart."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # Told as for any program.
        return
    os._exit(code)


def _load_structs() -> None:
    # msgspec takes a few names from `typing_extensions`, if that can be had, and from `typing`
    # otherwise. The former loads all that reads source code: a fifth of what a pass takes.
    if sys.modules.keys().isdisjoint({"msgspec", "typing_extensions"}):
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]
        import msgspec  # noqa: F401, PLC0415

        del sys.modules["typing_extensions"]


def _say(line: str) -> int:
    try:
        print(line, flush=True)  # noqa: T201  # all there is to it
    except OSError as error:
        from aeorsync.cli import main as whole  # noqa: PLC0415

        return whole.failed(error)
    return 0


def read(words: "Sequence[str]") -> "dict[str, Any] | None":
    """What a command line says to ``sync``; None when that is not plain.

    Args:
        words: Those after the name of the program.
    """
    if words[:1] != ["sync"]:
        return None
    given: dict[str, Any] = {}
    places = list(_PLACES)
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("-"):
            if not _take(given, word, rest):
                return None
        elif not places:
            return None
        else:
            given[places.pop(0)] = word
    return given


def _take(given: "dict[str, Any]", word: str, rest: "Iterator[str]") -> bool:
    """Take a flag, and the next word where it wants one; False when that is not plain."""
    flag, equals, text = word.partition("=")
    if flag not in FLAGS or (equals and not flag.startswith("--")):
        return False
    name, kind = FLAGS[flag]
    if isinstance(kind, bool):
        given[name] = kind
        return not equals
    value = text if equals else next(rest, "-")
    if value.startswith("-"):
        return False
    if kind is list:
        given.setdefault(name, []).append(value)
    else:
        given[name] = value
    return True
