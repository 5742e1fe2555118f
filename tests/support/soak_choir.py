"""The process that holds all event streams, seen from the one who started it."""

import asyncio
import json
import sys
from typing import Any

import msgspec

from tests.support.soak_streams import Plan

_LINE = 1 << 26


class ChoirProcess:
    """Starts it, asks it, ends it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process, if it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, patience_s: float) -> None:
        """Start it, and wait until all streams are open.

        Raises:
            TimeoutError: They are not.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.soak_streams",
            msgspec.json.encode(self._plan).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        async with asyncio.timeout(patience_s):
            while True:
                told = await self.ask("figures")
                if told["open"] == self._plan.count:
                    return
                await asyncio.sleep(0.5)

    async def ask(self, what: str, **more: object) -> dict[str, Any]:
        """Ask it something; see `soak_streams.Choir`.

        Raises:
            ConnectionError: It ended.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._lock:
            self._process.stdin.write(json.dumps({"ask": what, **more}).encode() + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        if not line:
            raise ConnectionError("the process with the event streams ended")
        told: dict[str, Any] = json.loads(line)
        return told

    async def close(self) -> None:
        """End it."""
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
