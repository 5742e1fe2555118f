"""Real folder clients: `aeorsync sync --watch` processes, started and ended like a user would."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class FolderProcess:
    """One folder, kept by one process. What it printed stays through all its starts."""

    def __init__(self, work: Path, name: str, url: str, key: str, *flags: str) -> None:
        """Name it; `start` starts it.

        Args:
            work: Where the folder, its state and its log lie.
            name: Of the folder.
            url: Where it is kept equal to.
            key: API key.
            flags: For every start.
        """
        self.name = name
        self.root = work / name
        self.root.mkdir(parents=True, exist_ok=True)
        self.state = work / f"{name}.state"
        self.log_file = work / f"{name}.log"
        self.errors_file = work / f"{name}.errors"
        self.url = url
        self.flags = flags
        self.environment = {
            **os.environ,
            "AEORSYNC_KEY": key,
            "XDG_STATE_HOME": str(self.state),
            "XDG_CONFIG_HOME": str(work / f"{name}.config"),
            "NO_COLOR": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def command(self, *more: str) -> list[str]:
        """What a user types."""
        start = [sys.executable, "-m", "aeorsync", "sync", str(self.root), self.url]
        return [*start, *self.flags, *more]

    def start(self) -> None:
        """Keep the folder from now on."""
        with self.log_file.open("ab") as log, self.errors_file.open("ab") as errors:
            self.process = subprocess.Popen(
                self.command("--watch", "--json"), stdout=log, stderr=errors, env=self.environment
            )

    def once(self, *more: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Make one pass; return what came of it."""
        return subprocess.run(
            self.command(*more),
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout,
            check=False,
        )

    def aeorsync(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run any command as the one who keeps this folder."""
        return subprocess.run(
            [sys.executable, "-m", "aeorsync", *words],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `aeorsync sync status` says of it."""
        done = self.aeorsync("sync", "status", str(self.root), "--json")
        if not done.stdout:
            return {"state": "new", "problems": [], "is_running": False}
        found: dict[str, Any] = json.loads(done.stdout)["folders"][0]
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """What it told so far."""
        for line in self.log_file.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    def tail(self, lines: int = 15) -> str:
        """The last it told, for a report."""
        told = self.log_file.read_text(errors="replace").splitlines()
        errors = self.errors_file.read_text(errors="replace").splitlines()
        useful = [line for line in told if '"progress"' not in line]
        return "\n".join(line[:300] for line in [*useful[-lines:], *errors[-lines:]])

    def knows(self, path: str, content: str) -> bool:
        """Whether it has written down that a content is at a path, or was there."""
        folder, _, name = path.rpartition("/")
        link = content.removeprefix("link:")
        wanted = bytes.fromhex(content) if link == content else link.encode()
        found = next(self.state.rglob("ledger.sqlite3"), None)
        if found is None:
            return False
        with closing(sqlite3.connect(f"file:{found}?mode=ro", uri=True, timeout=20)) as ledger:
            for table in ("entries", "copies"):
                query = (
                    f"SELECT {table}.content FROM {table} JOIN folders ON id = folder"  # noqa: S608
                    " WHERE folders.path = ? AND name = ?"
                )
                if (wanted,) in ledger.execute(query, (folder, name)).fetchall():
                    return True
        return False

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._send(signal.SIGKILL)

    def stop(self) -> int:
        """End it as a service manager does; returns its exit code."""
        return self._send(signal.SIGTERM)

    def interrupt(self) -> int:
        """End it as Ctrl-C does; returns its exit code."""
        return self._send(signal.SIGINT)

    def freeze(self) -> None:
        """Let it stand still, as a laptop that sleeps."""
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self.is_running:
            self.thaw()
            self.kill()

    def _send(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)
