"""The process that has loaded the package: forks one that runs a command whenever it is asked to.

    request   JSON: module, script, words, folder, environment; with stdin, stdout and stderr
    answer    the process id, in decimal

Who asks must be the subreaper: the process is forked twice, so it becomes a child of theirs, and
they wait for it as for any other. See `tests.support.processes`.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import time
from typing import Any, Final

import aeorsync

_REQUEST_BYTES: Final = 1 << 20
_LATE: Final = (
    "encodings.idna",
    "typer._adapters",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "zoneinfo",
)
"""What others load when they are used for the first time."""


def load() -> None:
    """Import all there is to import."""
    for module in pkgutil.walk_packages(aeorsync.__path__, "aeorsync."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def next_request(asked: socket.socket) -> dict[str, Any]:
    """Wait for requests; return, in a process of its own, what that one has to do."""
    while True:
        text, files, _, _ = socket.recv_fds(asked, _REQUEST_BYTES, 3)
        if not text:
            os._exit(0)  # nobody is left who could ask
        told, telling = os.pipe()
        child = os.fork()
        if child:
            os.close(telling)
            # It is a child of who asks no sooner than the one between has ended.
            os.waitpid(child, 0)
            asked.send(os.read(told, 32))
            for file in (told, *files):
                os.close(file)
            continue
        os.close(told)
        process = os.fork()
        if process:
            os.write(telling, str(process).encode())
            os._exit(0)
        os.close(telling)
        asked.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        request: dict[str, Any] = json.loads(text)
        return request


def become(request: dict[str, Any]) -> None:
    """Be what a process of its own would be: its folder, environment, streams and arguments."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    encoding = sys.stdout.encoding
    sys.stdin = open(0, encoding=encoding)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding=encoding, errors="backslashreplace"
    )
    sys.argv = [request["script"], *request["words"]]


def main() -> None:
    """Load everything, then serve; in each forked process, run the command."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    load()
    request = next_request(asked)
    signal.signal(signal.SIGINT, on_interrupt)
    become(request)
    if request["module"]:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(request["script"], run_name="__main__")


if __name__ == "__main__":
    main()
