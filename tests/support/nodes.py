"""Real nodes: processes on loopback, started and ended like a user would."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

_NO_TLS = ssl.create_default_context()
"""Shared, since making one for each client takes longer than most requests."""


class NodeFailedError(Exception):
    """The process ended instead of getting ready.

    Attributes:
        code: Its exit code.
        output: What it printed.
    """

    def __init__(self, code: int, output: str) -> None:
        super().__init__(f"exit code {code}: {output}")
        self.code = code
        self.output = output


class NodeProcess:
    """One ``aeorsync start`` and what it said about itself."""

    def __init__(self, data: Path, *flags: str, port: int = 0, **environment: str) -> None:
        """Start it and wait until it is ready.

        Raises:
            NodeFailedError: It ended instead.
        """
        self.data = data
        self.flags = flags
        self.environment = environment
        self.key: str | None = None
        self.trust = _NO_TLS
        self.port = port
        self.start()

    def start(self) -> None:
        """Start the process (again, on the same port and folder) and wait until it is ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process, whatever becomes of it."""
        command = [sys.executable, "-m", "aeorsync", "start", "-D", str(self.data)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-format", "json"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.flags],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def await_ready(self) -> None:
        """Wait until a process that was launched is ready.

        Raises:
            NodeFailedError: It ended instead.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self._finish()
            raise NodeFailedError(code, self.log)
        facts = json.loads(line)
        # What it tells others may be another port than the one it was given.
        self.port = self.port or int(facts["url"].rpartition(":")[2])
        self.node_id = int(facts["node_id"])
        self.key = facts.get("root_key") or self.key

    @property
    def url(self) -> str:
        """Where it answers."""
        scheme = "https" if "--tls-cert" in self.flags else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """Where it logs to, through all its starts."""
        return Path(f"{self.data}.log")

    @property
    def log(self) -> str:
        """What it logged so far."""
        return self.log_file.read_text()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self._finish()

    def stop(self) -> int:
        """End it as a service manager does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._finish()

    def client(self, key: str | None = None) -> httpx.Client:
        """An HTTP client with this node's root key, or another."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key or self.key}"},
            timeout=60,
            trust_env=False,
            verify=self.trust,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.kill()

    def _finish(self) -> int:
        assert self.process.stdout is not None
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code


@contextmanager
def pair(folder: Path, *flags: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two nodes of one cluster, linked and active."""
    with NodeProcess(folder / "a", *flags) as a:
        joining = ("--join", a.url, "--join-token", a.key or "")
        with NodeProcess(folder / "b", *flags, *joining) as b:
            b.key = a.key
            wait_until(lambda: is_active(a) and is_active(b))
            yield a, b


def is_active(node: NodeProcess) -> bool:
    """Whether all links of a node are active, and there are some."""
    with node.client() as client:
        answer = client.get("/sync/peers")
    return answer.status_code == 200 and {
        peer["state"] for peer in answer.json().get("items", [])
    } == {"active"}


def root_of(node: NodeProcess) -> str:
    """Root hash of a node's live tree."""
    with node.client() as client:
        root: str = client.get("/sync/status").json()["root_hash"]
    return root


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: It never did.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for never came")
        time.sleep(0.01)
