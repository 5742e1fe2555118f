"""Readers over HTTP who check every byte they get.

| who | checks |
| --- | --- |
| read | the bytes against the hash that came with them, and that against what was written |
| read a range | the part against what was written |
| read if changed | 304 only for what is there |
| list | that every file was written by somebody, and what this node acknowledged is there |
"""

import random
from collections.abc import Callable, Coroutine
from typing import Any

import blake3

from tests.support.soak_calls import Answer, Caller
from tests.support.soak_oracle import Look, Oracle
from tests.support.soak_writers import Paths


class Readers:
    """Everybody who reads over HTTP."""

    def __init__(self, caller: Caller, oracle: Oracle, paths: Paths, seed: int) -> None:
        self._caller = caller
        self._oracle = oracle
        self._paths = paths
        self._random = random.Random(seed)
        self.acts: tuple[tuple[float, Callable[[], Coroutine[Any, Any, None]]], ...] = (
            (30, self.read),
            (10, self.read_range),
            (6, self.read_if_changed),
            (4, self.list),
        )

    async def read(self) -> None:
        """Read a file."""
        path, node = self._choose()
        look = self._oracle.look(path, node)
        answer = await self._caller.call("read", node, f"GET /files{path}")
        if answer is None or not self._is_there(look, answer, node):
            return
        found = blake3.blake3(answer.body).hexdigest()
        if found != answer.headers["X-AeorSync-Content-Hash"]:
            self._wrong(path, f"node {node}: bytes of {found} were sent as {answer.headers}")
        self._oracle.saw(look, found)

    async def read_range(self) -> None:
        """Read a part of a file."""
        path, node = self._choose()
        sizes = [
            write.content.size for write in self._oracle.at(path).alive.values() if write.content
        ]
        if not sizes:
            return
        first = self._random.randrange(min(sizes))
        last = first + self._random.randrange(200_000)
        look = self._oracle.look(path, node)
        answer = await self._caller.call(
            "read range",
            node,
            f"GET /files{path}",
            headers={"Range": f"bytes={first}-{last}"},
        )
        # A node that is behind may have a shorter one.
        if answer is None or answer.status == 416 or not self._is_there(look, answer, node, 206):
            return
        content = self._oracle.saw(look, answer.headers["X-AeorSync-Content-Hash"])
        if content is not None and content.body()[first : last + 1] != answer.body:
            self._wrong(path, f"node {node}: bytes {first}-{last} are not those of {content}")

    async def read_if_changed(self) -> None:
        """Read a file unless it is what was seen before."""
        path, node = self._choose()
        token = self._oracle.at(path).token
        if token is None:
            return
        look = self._oracle.look(path, node)
        answer = await self._caller.call(
            "read if changed", node, f"GET /files{path}", headers={"If-None-Match": token.etag}
        )
        if answer is None or answer.status == 304:
            return
        if self._is_there(look, answer, node):
            self._oracle.saw(look, blake3.blake3(answer.body).hexdigest())

    async def list(self) -> None:
        """List a folder."""
        folder, node = self._random.choice(self._paths.folders), self._choose()[1]
        looks = {
            path: self._oracle.look(path, node)
            for path in self._paths.all
            if path.startswith(f"{folder}/")
        }
        sort = self._random.choice(("name", "size", "updated_at"))
        request = f"GET /files{folder}?limit=10000&sort={sort}"
        answer = await self._caller.call("list", node, request)
        if answer is None or answer.status == 404:
            return
        if answer.status != 200:
            self._caller.odd(answer, node, request)
            return
        found = {item["path"]: item["content_hash"] for item in answer.json["items"]}
        for path, look in looks.items():
            self._oracle.saw(look, found.pop(path, None))
        for path in found:
            self._wrong(path, f"node {node} lists it, and nobody wrote it")

    def _is_there(self, look: Look, answer: Answer, node: int, status: int = 200) -> bool:
        if answer.status == 404:
            self._oracle.saw(look, None)
            return False
        if answer.status != status:
            self._caller.odd(answer, node, f"GET /files{look.path}")
            return False
        return True

    def _choose(self) -> tuple[str, int]:
        return self._random.choice(self._paths.all), self._random.choice(self._caller.ring.up)

    def _wrong(self, path: str, text: str) -> None:
        self._caller.tally.complain("wrong bytes", path, text)
