"""Makes `aeorsync ...` start at once in tests: the package is loaded once, each process forked.

Loading it takes a second of processor time, which the suite would spend a thousand times. Whoever
starts `python -m aeorsync` or the `aeorsync` of this environment by `subprocess` gets what they
would get else: a process of its own, a child of theirs, that runs the same from its first line on.

Whatever the interpreter itself looks at when it starts is left alone: such a command, and any
other program, is started as ever. So is everything with ``TEST_EXEC=1``.
"""

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_SUBREAPER: Final = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans below us become our children."""

_SCRIPT: Final = str(Path(sys.executable).with_name("aeorsync"))
_OURS: Final = ("aeorsync", "tests.support.")
_OF_THE_INTERPRETER: Final = ("PYTHON", "LD_", "LC_", "LANG")


@dataclass(frozen=True, slots=True)
class Command:
    """A command that can be forked.

    Attributes:
        module: Which is run as ``python -m`` does; None for our script.
        words: Its arguments.
    """

    module: str | None
    words: list[str]


def command_of(words: object) -> Command | None:
    """What of ours a command line starts; None for anything else."""
    if not isinstance(words, Sequence) or isinstance(words, (str, bytes)):
        return None
    match [os.fspath(word) for word in words]:
        case [sys.executable, "-m", module, *rest] if module.startswith(_OURS):
            return Command(module, rest)
        case [head, *rest] if head == _SCRIPT:
            return Command(None, rest)
        case _:
            return None


def is_alike(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter would start with it as this one did."""
    keys = {*environment, *os.environ}
    return all(
        environment.get(key) == os.environ.get(key)
        for key in keys
        if key.startswith(_OF_THE_INTERPRETER)
    )


class _Loader:
    """The process that has loaded everything; started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: socket.socket | None = None

    def fork(self, command: Command, folder: str, environment: object, files: list[int]) -> int:
        """Start a command; return its process id."""
        request = {
            "module": command.module,
            "script": _SCRIPT,
            "words": command.words,
            "folder": folder,
            "environment": environment,
        }
        with self._lock:
            if self._asking is None:
                self._asking = self._start()
            socket.send_fds(self._asking, [json.dumps(request).encode()], files)
            return int(self._asking.recv(32))

    def stop(self) -> None:
        """End it; what it started goes on."""
        if self._asking is not None:
            self._asking.close()
            self._process.wait(30)

    def _start(self) -> socket.socket:
        if ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0):
            raise OSError("this process cannot adopt others")
        # One message is one request: no lengths, no halves.
        ours, others = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with others:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.loader", str(others.fileno())],
                pass_fds=[others.fileno()],
                cwd=Path(__file__).parents[2],
            )
        return ours


@contextlib.contextmanager
def hastened() -> Iterator[None]:
    """Fork what can be forked, whoever starts it, as long as this lasts."""
    if os.environ.get("TEST_EXEC") or sys.platform != "linux":
        yield
        return
    loader = _Loader()
    plain: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]

    def execute(self: Any, *how: Any) -> None:  # noqa: ANN401 - as the one it stands in for
        # args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags,
        # shell, six files, restore_signals, gid, gids, uid, umask, start_new_session, group
        command = command_of(how[0])
        environment = dict(os.environ if how[6] is None else how[6])
        is_usual = not (how[2] or how[4] or how[9]) and how[17:] == _USUAL
        if command is None or not is_usual or not is_alike(environment):
            plain(self, *how)
            return
        files = [how[at] if how[at] >= 0 else own for own, at in enumerate((10, 13, 15))]
        folder = os.path.abspath(how[5] or ".")  # noqa: PTH100 - keeps links, as a shell does
        self.pid = loader.fork(command, folder, environment, files)
        self._child_created = True
        self._close_pipe_fds(*how[10:16])

    subprocess.Popen._execute_child = execute  # type: ignore[attr-defined]
    try:
        yield
    finally:
        subprocess.Popen._execute_child = plain  # type: ignore[attr-defined]
        loader.stop()


_USUAL: Final = (None, None, None, -1, False, -1)
"""No other user or group, no mask, no session and no process group of its own."""
