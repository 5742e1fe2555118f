"""Writers over HTTP who say what they have seen, so that the oracle knows what each write ends.

| who | does |
| --- | --- |
| put, put large | a new content, by its base or by If-Match, through any node |
| delete | by its base |
| commit | many files and deletions in one step |
| contest | two writers with one base on two nodes at once: a conflict |
| resolve | picks a version of a conflict, or gives one up |
| refresh | reads, to have a base again |
| probe | puts, and waits until another node shows it |
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import blake3
import msgspec

from tests.support.soak_calls import Answer, Caller, Weather
from tests.support.soak_oracle import Content, Oracle, Place, Sent, Token

_PROBE_S: Final = 60.0
_SMALL: Final = 64 << 10
_LARGE: Final = 6 << 20


@dataclass(frozen=True, slots=True)
class Paths:
    """Where writers write.

    Attributes:
        own: Each by one at a time.
        hot: By several at once.
    """

    own: tuple[str, ...]
    hot: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every path."""
        return self.own + self.hot

    @property
    def folders(self) -> list[str]:
        """The folders they are in."""
        return sorted({path.rpartition("/")[0] for path in self.all})


@dataclass(frozen=True, slots=True)
class Base:
    """What a writer states to have seen."""

    headers: dict[str, str]
    covers: frozenset[int]


class Writers:
    """Everybody who writes over HTTP."""

    def __init__(
        self, caller: Caller, oracle: Oracle, paths: Paths, weather: Weather, seed: int
    ) -> None:
        self._caller = caller
        self._oracle = oracle
        self._paths = paths
        self._weather = weather
        self._random = random.Random(seed)
        self._seeds = count(seed << 32)
        self.acts: tuple[tuple[float, Callable[[], Coroutine[Any, Any, None]]], ...] = (
            (14, self.put),
            (0.2, self.put_large),
            (4, self.delete),
            (1.5, self.commit),
            (2, self.contest),
            (3, self.resolve),
            (2, self.refresh),
            (3, self.probe),
        )

    async def put(self) -> None:
        """Write a small file."""
        with self._a_path() as path:
            if path:
                await self._put(path, self._content(_SMALL), self._node())

    async def put_large(self) -> None:
        """Write a file of several chunks."""
        with self._a_path() as path:
            if path:
                size = self._random.randrange(_LARGE // 6, _LARGE)
                content = Content(next(self._seeds), size)
                await self._put(path, content, self._node(), kind="put large")

    async def delete(self) -> None:
        """Delete a file."""
        with self._a_path() as path:
            base = self._base(path) if path else None
            if path and base and base.covers and self._oracle.at(path).token:
                await self._delete(path, base, self._node())

    async def commit(self) -> None:
        """Write and delete many files in one step."""
        paths = [path for path in self._free(self._paths.own) if self._base(path)]
        chosen = self._random.sample(paths, min(len(paths), self._random.randrange(2, 13)))
        places = [self._oracle.at(path) for path in chosen]
        for place in places:
            place.is_taken = True
        try:
            await self._commit(chosen, self._node())
        finally:
            for place in places:
                place.is_taken = False

    async def contest(self) -> None:
        """Write one path on two nodes at once, without either having seen the other."""
        up = self._caller.ring.up
        with self._a_path(self._paths.hot) as path:
            base = self._base(path, is_strict=False) if path else None
            if path is None or base is None or len(up) < 2:
                return
            writes = [
                self._write(path, self._content(4000), base, node)
                for node in self._random.sample(up, 2)
            ]
            await asyncio.gather(*writes)
            self._oracle.at(path).token = None

    async def resolve(self) -> None:
        """Settle a conflict, or a part of it."""
        waiting = [
            path
            for path in self._free(self._paths.all)
            if len(self._oracle.at(path).alive) + len(self._oracle.at(path).doubts) > 1
        ]
        with self._a_path(waiting) as path:
            if path:
                await self._resolve(path, self._node())

    async def refresh(self) -> None:
        """Read what nobody has a base for."""
        without = [
            path for path in self._free(self._paths.all) if self._oracle.at(path).token is None
        ]
        with self._a_path(without) as path:
            if path:
                await self._refresh(path, self._node())

    async def probe(self) -> None:
        """Write, and see how long it takes until another node shows it."""
        up = self._caller.ring.up
        with self._a_path() as path:
            if path is None or len(up) < 2:
                return
            here, there = self._random.sample(up, 2)
            turn, was_calm = self._weather.turn, self._weather.is_calm
            content = self._content(4000)
            if not await self._put(path, content, here):
                return
            began = time.monotonic()
            while time.monotonic() < began + _PROBE_S:
                if there not in self._caller.ring.up:
                    return
                seen = await self._caller.call("head", there, f"HEAD /files{path}")
                if seen and seen.headers.get("X-AeorSync-Content-Hash") == content.hash:
                    is_calm = was_calm and turn == self._weather.turn
                    kind = "readable on a peer" if is_calm else "the same, amid trouble"
                    self._caller.tally.took(kind, time.monotonic() - began)
                    return
                if self._oracle.at(path).doubts:
                    return
                await asyncio.sleep(min(0.5, 0.01 + (time.monotonic() - began) / 10))

    async def _put(self, path: str, content: Content, node: int, kind: str = "put") -> bool:
        base = self._base(path)
        if base is None:
            await self._refresh(path, node)
            return False
        token = await self._write(path, content, base, node, kind)
        if token is not None:
            self._oracle.at(path).token = token
        return token is not None

    async def _write(
        self, path: str, content: Content, base: Base, node: int, kind: str = "put"
    ) -> Token | None:
        sent = self._oracle.begin(path, content, base.covers, node)
        request = f"PUT /files{path}"
        answer = await self._caller.call(kind, node, request, content.body(), base.headers)
        if answer is None:
            return None
        if answer.status == 201:
            if answer.json["content_hash"] != content.hash:
                self._caller.odd(answer, node, request)
            return self._oracle.done(sent, answer.headers["ETag"], node=node)
        self._not_done(sent, answer, request, {412} if "If-Match" in base.headers else set())
        return None

    async def _delete(self, path: str, base: Base, node: int) -> None:
        sent = self._oracle.begin(path, None, base.covers, node)
        request = f"DELETE /files{path}"
        answer = await self._caller.call("delete", node, request, headers=base.headers)
        if answer is None:
            return
        if answer.status == 200:
            self._oracle.at(path).token = None
            self._oracle.done(sent, node=node)
            return
        # A node that has not heard of the file has nothing to delete.
        allowed = {404, 412} if "If-Match" in base.headers else {404}
        self._not_done(sent, answer, request, allowed)

    async def _commit(self, paths: list[str], node: int) -> None:
        files: list[dict[str, object]] = []
        deletes: list[dict[str, str]] = []
        sent: dict[str, Sent] = {}
        for path in paths:
            content = None if self._is_to_go(path) else self._content(_SMALL)
            chunk = await self._send_chunk(content, node) if content else None
            base = self._base(path, is_strict=False)
            if base is None or (content and chunk is None):
                continue
            stated = {"path": path, "base": base.headers["X-AeorSync-Base"].replace('""', "")}
            if content:
                files.append({**stated, "chunks": [chunk]})
            else:
                deletes.append(stated)
            sent[path] = self._oracle.begin(path, content, base.covers, node)
        body = msgspec.json.encode({"files": files, "deletes": deletes})
        answer = await self._caller.call("commit", node, "POST /blobs/commit", body)
        if answer is None:
            return
        if answer.status == 200:
            self._committed(answer, sent)
            return
        for one in sent.values():
            self._oracle.refused(one)
        # A node that has not heard of a file cannot delete it.
        is_early = answer.status == 409 and answer.json["code"] == "STALE"
        if not is_early or answer.json["path"] not in {one["path"] for one in deletes}:
            self._caller.odd(answer, node, f"POST /blobs/commit {body!r}")

    def _committed(self, answer: Answer, sent: dict[str, Sent]) -> None:
        for item in (*answer.json["files"], *answer.json["deletes"]):
            one = sent.pop(item["path"])
            token = self._oracle.done(one, item["etag"] or None, node=one.node)
            self._oracle.at(one.path).token = token
        for path in sent:
            self._caller.tally.complain("unexpected answer", path, "not in the answer to a commit")

    def _is_to_go(self, path: str) -> bool:
        return self._oracle.at(path).token is not None and self._random.random() < 0.2

    async def _send_chunk(self, content: Content, node: int) -> str | None:
        body = content.body()
        name = blake3.blake3(b"chunk:" + body).hexdigest()
        request = f"PUT /blobs/chunks/{name}"
        answer = await self._caller.call("put chunk", node, request, body)
        if answer is None:
            return None
        if answer.status not in {200, 201}:
            self._caller.odd(answer, node, request)
            return None
        return name

    async def _resolve(self, path: str, node: int) -> None:
        look = self._oracle.look(path, node)
        shown = await self._caller.call("conflict", node, f"GET /sync/conflicts{path}")
        if shown is None or shown.status == 404:
            return
        versions = shown.json["versions"]
        for version in versions:
            if not version["deleted"]:
                self._oracle.saw(look, version["content_hash"])
        place = self._oracle.at(path)
        known = place.known()
        alive = [one for one in versions if not one["deleted"] and one["content_hash"] in known]
        covers = self._oracle.numbers_of(path, map(_mark, alive))
        if not alive or not covers:
            return
        base = Base({"If-Match": shown.json["etag"]}, covers)
        # Somebody who picks a version writes its content again. Only who sees all of them may:
        # two who picked the same on two nodes could not be told apart afterwards.
        if covers != place.alive.keys() or place.doubts or self._random.random() < 0.4:
            place.token = await self._write(path, self._content(4000), base, node)
            return
        losers = [one for one in alive if not one["is_winner"]]
        one = self._random.choice(alive)
        body, content = {"pick": one["id"]}, known[one["content_hash"]].content
        if losers and versions[0]["content_hash"] in known and self._random.random() < 0.4:
            given_up, winner = self._random.choice(losers), versions[0]
            body, content = {"give_up": given_up["id"]}, known[winner["content_hash"]].content
            ended = self._oracle.numbers_of(path, map(_mark, (winner, given_up)))
            base = Base(base.headers, ended)
        await self._pick(path, msgspec.json.encode(body), content, base, node)

    async def _pick(
        self, path: str, body: bytes, content: Content | None, base: Base, node: int
    ) -> None:
        sent = self._oracle.begin(path, content, base.covers, node)
        request = f"POST /sync/conflicts{path}"
        answer = await self._caller.call("resolve", node, request, body, base.headers)
        place = self._oracle.at(path)
        place.is_muddled = answer is None
        if answer is not None and answer.status == 200:
            place.token = self._oracle.done(sent, answer.json["etag"], node=node)
            self._oracle.picked(sent, answer.json["version"])
        elif answer is not None:
            # Another version that arrived was faster.
            self._not_done(sent, answer, request, {404, 412})

    async def _refresh(self, path: str, node: int) -> None:
        look = self._oracle.look(path, node)
        answer = await self._caller.call("head", node, f"HEAD /files{path}")
        if answer is None:
            return
        found = answer.headers.get("X-AeorSync-Content-Hash")
        self._oracle.saw(look, found if answer.status == 200 else None)
        place = self._oracle.at(path)
        if answer.status == 200 and found and "X-AeorSync-Conflict" not in answer.headers:
            mark = answer.headers["X-AeorSync-Version"], found
            covers = self._oracle.numbers_of(path, [mark])
            place.token = Token(answer.headers["ETag"], covers)

    def _not_done(self, sent: Sent, answer: Answer, request: str, allowed: set[int]) -> None:
        self._oracle.refused(sent)
        self._caller.tally.counts[f"status {answer.status}"] += 1
        if answer.status not in allowed:
            self._caller.odd(answer, sent.node, request)

    def _base(self, path: str, *, is_strict: bool = True) -> Base | None:
        """What a writer of a path has seen; None when somebody has to look first."""
        place: Place = self._oracle.at(path)
        if place.token is not None:
            field = "X-AeorSync-Base"
            if is_strict and self._random.random() < 0.3:
                field = "If-Match"
            return Base({field: place.token.etag}, place.token.covers)
        if place.doubts or any(write.content for write in place.alive.values()):
            return None
        # Made anew after a deletion, by somebody who has seen nothing of what was deleted.
        return Base({"X-AeorSync-Base": '""'}, self._oracle.covered_by_all(path))

    def _content(self, most: int) -> Content:
        size = int(24 * (most / 24) ** self._random.random())
        return Content(next(self._seeds), size)

    def _node(self) -> int:
        return self._random.choice(self._caller.ring.up)

    def _free(self, paths: tuple[str, ...]) -> list[str]:
        places = ((path, self._oracle.at(path)) for path in paths)
        return [path for path, place in places if not (place.is_taken or place.is_muddled)]

    @contextmanager
    def _a_path(self, paths: "tuple[str, ...] | list[str] | None" = None) -> Iterator[str | None]:
        """Take a path, so that nobody else writes there meanwhile; None when all are taken."""
        free = self._free(tuple(paths if paths is not None else self._paths.own))
        if not free:
            yield None
            return
        path = self._random.choice(free)
        place = self._oracle.at(path)
        place.is_taken = True
        try:
            yield path
        finally:
            place.is_taken = False


def _mark(version: dict[str, Any]) -> tuple[str, str]:
    """By which the oracle knows a version."""
    return version["id"], version["content_hash"]
