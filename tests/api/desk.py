"""A node with a tree that rules let some see a part of, and everybody who may call it.

/open      what the keys of `callers` are about; /secret has the same in it
    a.txt  b  d/x  d/y/z  link -> a.txt
    gone       was deleted
    clash      is in conflict
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import msgspec
from starlette.types import Message

from aeorsync.core import tokens
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import TreePath, parse
from aeorsync.core.tokens import ROOT as ROOT_USER
from aeorsync.core.tokens import SYNC, SigningKey
from aeorsync.storage import changes
from aeorsync.storage.changes import Conditions, FileState, LinkState
from aeorsync.storage.draft import Draft
from tests.api.conftest import Running

SCOPED = {
    "reads": "-r------",
    "writes": "c-ud----",
    "lists": "----l---",
    "uses": "crudl---",
    "is denied": "--------",
}
STRANGERS = ("says nothing", "expired", "foreign")


@dataclass(frozen=True)
class Caller:
    """Somebody who calls.

    Attributes:
        name: Whom a failure tells of.
        bearer: What they show.
        flags: What their key lets them do in ``/open``; None for those whom no rule binds.
        has_grant: Whether any rule says something of them.
    """

    name: str
    bearer: str
    flags: str | None = None
    has_grant: bool = True


def callers(here: Running) -> Iterator[Caller]:
    now = here.node.wall.now_ms() // 1000
    foreign = tokens.mint(SigningKey(b"f" * 32), ROOT_USER, issued=now, expires=now + 600)
    yield Caller("says nothing", "")
    yield Caller("expired", here.mint(life=-tokens.LEEWAY - 1))
    yield Caller("foreign", foreign)
    yield Caller("peer", here.mint(scope=SYNC))
    yield Caller("root", here.token)
    yield Caller("has no key", here.mint(subject=uuid4()), "--------", has_grant=False)
    ungranted = here.make_key(user_id=uuid4())[0]
    yield Caller("was granted nothing", ungranted, "--------", has_grant=False)
    for name, flags in SCOPED.items():
        rules = (KeyRule("/open/**", flags), KeyRule("**", "--------"))
        key, record = here.make_key(rules=rules)
        yield Caller(f"root's key {name}", key, flags)
        yield Caller(f"root's token {name}", here.mint(key_id=record.key_id), flags)
        yield Caller(f"key {name}", here.make_key(user_id=uuid4(), rules=rules)[0], flags)
        bound = here.make_key(rules=(KeyRule("**", "crudlify"),), bounds=(rules,))[0]
        yield Caller(f"bounded key {name}", bound, flags)


def build(draft: Draft) -> None:
    """Make the tree as every call finds it."""
    for top in ("open", "secret"):
        for name in ("a.txt", "b", "d/x", "d/y/z"):
            _file(draft, parse(f"/{top}/{name}"), name.encode())
        for name in ("new", "far/below", "far", "moved", "made", "another"):
            _no_file(draft, parse(f"/{top}/{name}"))
        link = LinkState("a.txt", _content(b"a.txt"))
        changes.put_link(draft, parse(f"/{top}/link"), link)
        gone = parse(f"/{top}/gone")
        _file(draft, gone, b"gone")
        _no_file(draft, gone)
        clash = parse(f"/{top}/clash")
        _file(draft, clash, b"one")
        sight = draft.live(clash)
        if sight is not None and not sight.losers:
            shown = sight.winner.content == _content(b"one")
            other = FileState(_content(b"other" if shown else b"one"), "text/plain")
            changes.put_file(draft, clash, other, Conditions(base=()))


CONTENTS: dict[bytes, Any] = {}


def _content(data: bytes) -> Any:  # noqa: ANN401 - `Content`, stored before
    return CONTENTS[data]


def _file(draft: Draft, path: TreePath, data: bytes) -> None:
    if draft.live(path) is None:
        changes.put_file(draft, path, FileState(_content(data), "text/plain"))


def _no_file(draft: Draft, path: TreePath) -> None:
    if draft.live(path) is not None:
        changes.delete(draft, path, recursive=True)


class Desk:
    """A node, everybody who calls it, and a client that hangs up on streams."""

    def __init__(self, runner: asyncio.Runner, here: Running) -> None:
        self.here = here
        self.run = runner.run
        repository = here.node.repository
        texts = (b"a.txt", b"b", b"d/x", b"d/y/z", b"gone", b"one", b"other")
        CONTENTS.update((text, repository.store_small(text)) for text in texts)
        self._built = (b"", b"", 0)
        self.reset()
        self.reset_versions()
        self.callers = list(callers(here))

    def reset(self) -> None:
        """Make the tree what it was."""
        if self.state() != self._built:
            self.here.node.repository.commit(build).result(30)
            self._built = self.state()

    def reset_versions(self) -> None:
        """Make the snapshots and forks what they were: ``kept``, ``apart``."""
        for path, name in (("/versions/snapshots", "kept"), ("/versions/forks", "apart")):
            items = self.ask("GET", path, self.here.token).json()["items"]
            for other in items:
                if other["name"] != name:
                    self.ask("DELETE", f"{path}/{other['id']}", self.here.token)
            if all(item["name"] != name for item in items):
                made = self.ask("POST", path, self.here.token, {"name": name})
                assert made.status_code == 201

    def state(self) -> tuple[bytes, bytes, int]:
        """All that a refused call must not change."""
        head = self.here.node.repository.head
        return head.root, head.graves, head.seq

    def ask(
        self,
        method: str,
        url: str,
        bearer: str,
        body: Any = None,  # noqa: ANN401 - any JSON
        data: bytes = b"",
        fields: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Call the node; of an answer that does not end the beginning is returned."""
        return self.run(self._ask(method, url, bearer, data, body, fields or {}))

    async def _ask(
        self, method: str, url: str, bearer: str, data: bytes, body: object, fields: dict[str, str]
    ) -> httpx.Response:
        parts = urlsplit(url)
        content = data if body is None else msgspec.json.encode(body)
        if bearer:
            fields = {**fields, "authorization": f"Bearer {bearer}"}
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), text.encode()) for name, text in fields.items()],
        }
        sent: list[Message] = []
        is_enough = asyncio.Event()

        bodies = [content]

        async def receive() -> Message:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            await is_enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if is_stream(sent[0]) and len(sent) > 1:
                is_enough.set()
                await asyncio.sleep(60)

        calling = asyncio.create_task(self._serve(scope, receive, send))
        hearing = asyncio.create_task(is_enough.wait())
        await asyncio.wait({calling, hearing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (calling, hearing):
            task.cancel()
        await asyncio.gather(calling, hearing, return_exceptions=True)
        text = b"".join(message.get("body", b"") for message in sent[1:])
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=text)

    async def _serve(self, *arguments: Any) -> None:  # noqa: ANN401 - as ASGI has them
        await self.here.app(*arguments)


def is_stream(start: Message) -> bool:
    fields: dict[bytes, bytes] = dict(start["headers"])
    return fields.get(b"content-type", b"").startswith(b"text/event-stream")
