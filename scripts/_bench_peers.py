"""Other programs that make one folder like another, each through its own network protocol.

| program | how |
| --- | --- |
| rsync | a daemon on loopback |
| unison | a server on a socket |
| rclone | its WebDAV server, with eight transfers at once |
| rclone-local | from folder to folder, without a network, likewise |
| syncthing | two daemons that know each other by address; no discovery, no relays |

What is not installed is left out and said so. All listen on loopback only.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from _measure import WrongError

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Peer:
    """Something that makes ``target`` like ``source`` each time it is asked."""

    def __init__(self, work: Path, source: Path, target: Path) -> None:
        self.work, self.source, self.target = work, source, target
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start what serves the target."""

    def sync(self) -> None:
        """Make the target like the source; return when it is."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def serve(self, *command: object, **environment: str) -> None:
        """Run a server until the end."""
        process = subprocess.Popen(
            [str(word) for word in command], env=os.environ | environment, **QUIET
        )

        def end() -> None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self._stack.callback(end)


class Rsync(Peer):
    def start(self) -> None:
        self.port = free_port()
        config = self.work / "rsyncd.conf"
        lines = ["use chroot = no", "address = 127.0.0.1", f"port = {self.port}"]
        lines += ["[target]", f"path = {self.target}", "read only = no"]
        if os.getuid() == 0:
            lines += ["uid = 0", "gid = 0"]
        config.write_text("\n".join(lines) + "\n")
        self.serve("rsync", "--daemon", "--no-detach", f"--config={config}")
        wait_for(self.port)

    def sync(self) -> None:
        url = f"rsync://127.0.0.1:{self.port}/target/"
        subprocess.run(["rsync", "-a", "--delete", f"{self.source}/", url], check=True, **QUIET)


class Unison(Peer):
    def start(self) -> None:
        self.port = free_port()
        self.home = self.work / "unison"
        self.home.mkdir()
        self.serve("unison", "-socket", self.port, UNISON=str(self.home / "server"))
        wait_for(self.port)

    def sync(self) -> None:
        target = f"socket://127.0.0.1:{self.port}/{self.target}"
        subprocess.run(
            ["unison", "-ui", "text", "-batch", "-auto", "-times", str(self.source), target],
            env=os.environ | {"UNISON": str(self.home / "client")},
            check=True,
            **QUIET,
        )


class Rclone(Peer):
    def start(self) -> None:
        self.port = free_port()
        self.serve("rclone", "serve", "webdav", "--addr", f"127.0.0.1:{self.port}", self.target)
        wait_for(self.port)

    def sync(self) -> None:
        url = f"http://127.0.0.1:{self.port}"
        more = ["--webdav-url", url, "--transfers", "8", "--checkers", "8"]
        subprocess.run(["rclone", "sync", self.source, ":webdav:", *more], check=True, **QUIET)


class RcloneLocal(Peer):
    def sync(self) -> None:
        more = ["--transfers", "8", "--checkers", "8"]
        subprocess.run(["rclone", "sync", self.source, self.target, *more], check=True, **QUIET)


class Syncthing(Peer):
    def start(self) -> None:
        self.sides = [
            _Daemon(self, self.work / f"syncthing-{root.name}", root)
            for root in (self.source, self.target)
        ]
        for side, other in (self.sides, self.sides[::-1]):
            side.meet(other)
        wait_until(lambda: self.sides[0].is_connected)

    def sync(self) -> None:
        self.sides[0].ask("POST", "/rest/db/scan?folder=work")
        wait_until(self._is_equal)

    def tell(self, path: str) -> None:
        """Have it look at one path now; it answers when it has looked."""
        self.sides[0].ask("POST", f"/rest/db/scan?folder=work&sub={path}")

    def _is_equal(self) -> bool:
        one, other = (side.ask("GET", "/rest/db/status?folder=work") for side in self.sides)
        same = all(one[f"global{what}"] == other[f"global{what}"] for what in ("Files", "Bytes"))
        is_idle = one["state"] == other["state"] == "idle"
        return same and is_idle and other["needTotalItems"] == 0 and other["sequence"] > 0


class _Daemon:
    """One side of Syncthing."""

    def __init__(self, peer: Peer, home: Path, root: Path) -> None:
        self._root = root
        self._gui, self._port = free_port(), free_port()
        self._key = "bench"
        command = ["syncthing", "generate", f"--home={home}", "--no-default-folder"]
        subprocess.run(command, check=True, **QUIET)
        shown = subprocess.run(
            ["syncthing", "serve", f"--home={home}", "--device-id"],
            check=True,
            capture_output=True,
            text=True,
        )
        self.device = shown.stdout.strip()
        (root / ".stfolder").mkdir()
        flags = [f"--gui-address=127.0.0.1:{self._gui}", f"--gui-apikey={self._key}"]
        quiet = {"STNOUPGRADE": "1", "STNODEFAULTFOLDER": "1"}
        peer.serve(
            "syncthing", "serve", f"--home={home}", "--no-browser", "--no-restart", *flags, **quiet
        )
        wait_for(self._gui)
        options = self.ask("GET", "/rest/config/options") | {
            "listenAddresses": [self.address],
            "globalAnnounceEnabled": False,
            "localAnnounceEnabled": False,
            "relaysEnabled": False,
            "natEnabled": False,
            "crashReportingEnabled": False,
            "urAccepted": -1,
            "reconnectionIntervalS": 1,
        }
        self.ask("PUT", "/rest/config/options", options)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def is_connected(self) -> bool:
        found = self.ask("GET", "/rest/system/connections")["connections"]
        return any(connection["connected"] for connection in found.values())

    def meet(self, other: "_Daemon") -> None:
        """Know another side, and share the folder with it."""
        device = {
            "deviceID": other.device,
            "addresses": [other.address],
            "compression": "metadata",
        }
        self.ask("PUT", f"/rest/config/devices/{other.device}", device)
        folder = {
            "id": "work",
            "path": str(self._root),
            "type": "sendreceive",
            "devices": [{"deviceID": self.device}, {"deviceID": other.device}],
            "fsWatcherEnabled": True,
            "fsWatcherDelayS": 1,
            "rescanIntervalS": 3600,
        }
        self.ask("PUT", "/rest/config/folders/work", folder)

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        connection = http.client.HTTPConnection("127.0.0.1", self._gui, timeout=600)
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"X-API-Key": self._key})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise WrongError(f"syncthing answered {answer.status} to {method} {path}: {text!r}")
        return json.loads(text) if text.strip().startswith((b"{", b"[")) else None


TOOLS: dict[str, type[Peer]] = {
    "rsync": Rsync,
    "unison": Unison,
    "rclone": Rclone,
    "rclone-local": RcloneLocal,
    "syncthing": Syncthing,
}


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in TOOLS if shutil.which(name.partition("-")[0]) is None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return True
        return False

    wait_until(answers)


def wait_until(condition: Callable[[], object], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise WrongError("what was waited for never came")
        time.sleep(0.02)
