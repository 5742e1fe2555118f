"""Every route of the table, called by everybody.

`ROWS` says of each what it takes. A route without a row fails, so whoever adds one has to say who
may call it:

    ANYBODY    no bearer at all
    TOKEN      any valid bearer but a peer's
    SOMEBODY   the same, unless nothing was granted to them
    WRITER     the same, if they may create or update anything
    ROOT       root without rules; under /sync also a peer
    ADMIN      root without rules, and no peer
    flags      one of these letters for the path in the row; the path in question is once one the
               keys below are about, `/open/...`, and once one they are not, `/secret/...`

A caller who is refused is refused by status, and nothing has changed. Where a path is in the URL
or in the body and the key has no right to it, the answer is 404, as if nothing were there.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aeorsync.api.app import ENDPOINTS
from aeorsync.core.hashing import chunk_id
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Kind
from tests.api.conftest import running
from tests.api.desk import STRANGERS, Caller, Desk

ANYBODY, TOKEN, SOMEBODY, ROOT, ADMIN = "anybody", "token", "somebody", "root", "admin"
WRITER = "writer"
LET_IN = 0
"""Any status but a refusal: what the handler answers is tested elsewhere."""


@dataclass(frozen=True)
class Row:
    """One way to call a route.

    Attributes:
        url: With ``{top}`` for the folder in question.
        takes: See the top of the module.
        body: JSON.
        status: Of success.
        data: Bytes instead of JSON.
        fields: Of the header.
        needs_grant: Whether those to whom nothing was granted get 403, as they do without a path.
    """

    url: str
    takes: str
    body: Any = None
    status: int = 200
    data: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)
    needs_grant: bool = False

    @property
    def is_about_paths(self) -> bool:
        """Whether what is taken are flags for a path."""
        return self.takes not in {ANYBODY, TOKEN, SOMEBODY, WRITER, ROOT, ADMIN}


UNKNOWN = "660e8400-e29b-41d4-a716-446655440000"
FILE, FOLDER, NEW = "/files/{top}/a.txt", "/files/{top}/d/", "/files/{top}/new"
ROWS: dict[tuple[str, str], list[Row]] = {
    ("GET", "/system/health"): [Row("/system/health", ANYBODY)],
    ("HEAD", "/system/health"): [Row("/system/health", ANYBODY)],
    ("GET", "/openapi.json"): [Row("/openapi.json", ANYBODY)],
    ("POST", "/auth/token"): [Row("/auth/token", ANYBODY, {"api_key": "aeor_k_"}, 401)],
    ("POST", "/auth/refresh"): [Row("/auth/refresh", ANYBODY, {"refresh_token": "x"}, 401)],
    # Keys and users: who else's these are, `test_keys` and `test_users` look after
    ("POST", "/auth/keys"): [Row("/auth/keys", SOMEBODY, {}, 201)],
    ("GET", "/auth/keys"): [Row("/auth/keys", TOKEN)],
    ("GET", "/auth/keys/users"): [Row("/auth/keys/users", TOKEN)],
    ("DELETE", "/auth/keys/{key_id}"): [Row(f"/auth/keys/{UNKNOWN}", TOKEN, status=404)],
    ("PATCH", "/auth/keys/{key_id}"): [Row(f"/auth/keys/{UNKNOWN}", TOKEN, {"label": "x"}, 404)],
    ("POST", "/auth/keys/admin"): [Row("/auth/keys/admin", ROOT, {}, 201)],
    ("GET", "/auth/keys/admin"): [Row("/auth/keys/admin", ROOT)],
    ("DELETE", "/auth/keys/admin/{key_id}"): [
        Row(f"/auth/keys/admin/{UNKNOWN}", ROOT, status=404)
    ],
    ("PATCH", "/auth/keys/admin/{key_id}"): [
        Row(f"/auth/keys/admin/{UNKNOWN}", ROOT, {"label": "x"}, 404)
    ],
    ("POST", "/system/users"): [Row("/system/users", ROOT, {"username": "{top}"}, 201)],
    ("GET", "/system/users"): [Row("/system/users", ROOT)],
    ("GET", "/system/users/{user_id}"): [Row(f"/system/users/{UNKNOWN}", ROOT, status=404)],
    ("PATCH", "/system/users/{user_id}"): [
        Row(f"/system/users/{UNKNOWN}", ROOT, {"is_active": False}, 404)
    ],
    ("DELETE", "/system/users/{user_id}"): [Row(f"/system/users/{UNKNOWN}", ROOT, status=404)],
    # Files
    ("GET", "/files"): [Row("/files", "crudl")],
    ("HEAD", "/files"): [Row("/files", "crudl")],
    ("GET", "/files/{path:path}"): [
        Row(FILE, "r"),
        Row(FILE + "?snapshot=kept", "r"),
        Row(FILE + "?fork=apart", "r"),
        Row("/files/{top}/link", "r"),
        Row(FOLDER, "l"),
        Row("/files/{top}", "crudl"),
    ],
    ("HEAD", "/files/{path:path}"): [Row(FILE, "r"), Row(FOLDER, "l")],
    ("PUT", "/files/{path:path}"): [
        Row(FILE, "u", data=b"changed", status=201),
        Row(NEW, "c", data=b"new", status=201),
        Row(NEW + "?fork=apart", "c", data=b"new", status=201),
        Row("/files/{top}/far/below", "c", data=b"new", status=201),
    ],
    ("DELETE", "/files/{path:path}"): [
        Row(FILE, "d"),
        Row("/files/{top}/d?recursive=true", "d"),
    ],
    ("PATCH", "/files/{path:path}"): [
        Row(FILE, "u", {"to": "/{top}/moved"}),
        Row(NEW, "c", {"a": 1}, 201, fields={"content-type": "application/merge-patch+json"}),
    ],
    ("POST", "/files/fetch"): [Row("/files/fetch", "r", {"paths": ["/{top}/a.txt"]})],
    ("POST", "/files/download"): [Row("/files/download", "r", {"paths": ["/{top}/a.txt"]})],
    ("POST", "/files/mkdir"): [Row("/files/mkdir", "c", {"path": "/{top}/made"}, 201)],
    ("POST", "/files/copy"): [
        Row("/files/copy", TOKEN, {"paths": ["/{top}/a.txt"], "destination": "/{top}/d"})
    ],
    ("GET", "/files/deleted"): [Row("/files/deleted?path=/{top}", TOKEN)],
    ("POST", "/files/restore"): [Row("/files/restore", "c", {"path": "/{top}/gone"})],
    # Links
    ("PUT", "/links/{path:path}"): [
        Row("/links/{top}/link", "u", {"target": "b"}, 201),
        Row("/links/{top}/another", "c", {"target": "b"}, 201),
    ],
    ("GET", "/links/{path:path}"): [Row("/links/{top}/link", "r")],
    ("DELETE", "/links/{path:path}"): [Row("/links/{top}/link", "d")],
    # Blobs: which chunks somebody may use, `test_grants` looks after
    ("GET", "/blobs/config"): [Row("/blobs/config", TOKEN)],
    ("POST", "/blobs/check"): [Row("/blobs/check", SOMEBODY, {"hashes": []})],
    ("PUT", "/blobs/chunks/{hash}"): [
        Row(f"/blobs/chunks/{chunk_id(b'data').hex()}", WRITER, data=b"data", status=LET_IN)
    ],
    ("POST", "/blobs/chunks"): [Row("/blobs/chunks", WRITER, status=LET_IN)],
    ("POST", "/blobs/parts"): [Row("/blobs/parts", SOMEBODY)],
    ("POST", "/blobs/recipes"): [Row("/blobs/recipes", WRITER, status=LET_IN)],
    ("GET", "/blobs/commits/{op}"): [Row("/blobs/commits/nothing", SOMEBODY, status=404)],
    ("POST", "/blobs/commit"): [
        Row("/blobs/commit", "u", {"files": [{"path": "/{top}/a.txt"}]}, needs_grant=True),
        Row("/blobs/commit", "c", {"files": [{"path": "/{top}/new"}]}, needs_grant=True),
        Row("/blobs/commit", "d", {"deletes": [{"path": "/{top}/a.txt"}]}, needs_grant=True),
        Row("/blobs/commit", "c", {"folders": [{"path": "/{top}/made"}]}, needs_grant=True),
        Row(
            "/blobs/commit",
            "c",
            {"links": [{"path": "/{top}/another", "target": "b"}]},
            needs_grant=True,
        ),
    ],
    ("GET", "/blobs/{hash}"): [Row(f"/blobs/{chunk_id(b'x').hex()}", TOKEN, status=404)],
    # Versions
    ("POST", "/versions/snapshots"): [Row("/versions/snapshots", ROOT, {"name": "s"}, 201)],
    ("GET", "/versions/snapshots"): [Row("/versions/snapshots", SOMEBODY)],
    ("PATCH", "/versions/snapshots/{id_or_name}"): [
        Row("/versions/snapshots/kept", ROOT, {"name": "t"})
    ],
    ("DELETE", "/versions/snapshots/{id_or_name}"): [Row("/versions/snapshots/kept", ROOT)],
    ("POST", "/versions/restore"): [Row("/versions/restore", ROOT, {"name": "kept"})],
    ("POST", "/versions/restore/{path:path}"): [
        Row("/versions/restore/{top}/a.txt", ROOT, {"snapshot": "kept"})
    ],
    ("POST", "/versions/export"): [Row("/versions/export", ROOT)],
    ("POST", "/versions/diff"): [Row("/versions/diff?from=kept&to=kept", ROOT, status=LET_IN)],
    ("POST", "/versions/import"): [Row("/versions/import", ROOT, status=LET_IN)],
    ("POST", "/versions/promote"): [Row("/versions/promote", ROOT, status=LET_IN)],
    ("POST", "/versions/forks"): [Row("/versions/forks", ROOT, {"name": "f"}, 201)],
    ("GET", "/versions/forks"): [Row("/versions/forks", SOMEBODY)],
    ("POST", "/versions/forks/{name}/promote"): [Row("/versions/forks/apart/promote", ROOT)],
    ("DELETE", "/versions/forks/{name}"): [Row("/versions/forks/apart", ROOT)],
    ("GET", "/versions/history/{path:path}"): [Row("/versions/history/{top}/a.txt", "r")],
    # Sync
    ("POST", "/sync/diff"): [
        Row("/sync/diff", SOMEBODY, {}),
        Row("/sync/diff", ROOT, {}, fields={"Accept": "application/vnd.aeorsync.frames"}),
    ],
    ("POST", "/sync/seen"): [Row("/sync/seen", SOMEBODY, {"versions": {}})],
    ("POST", "/sync/chunks"): [Row("/sync/chunks", SOMEBODY, {"hashes": []})],
    ("POST", "/sync/nodes"): [
        Row("/sync/nodes", ROOT, {"ids": [], "include_system": True}, LET_IN)
    ],
    ("POST", "/sync/offer"): [Row("/sync/offer", ROOT, {}, LET_IN)],
    ("POST", "/sync/offer/chunks"): [Row("/sync/offer/chunks", ROOT, {}, LET_IN)],
    ("POST", "/sync/repair"): [Row("/sync/repair", ROOT, {}, LET_IN)],
    ("GET", "/sync/peers"): [Row("/sync/peers", ROOT)],
    ("POST", "/sync/peers"): [Row("/sync/peers", ROOT, {}, LET_IN)],
    ("PATCH", "/sync/peers/{node_id}"): [Row("/sync/peers/5", ROOT, {}, LET_IN)],
    ("DELETE", "/sync/peers/{node_id}"): [Row("/sync/peers/5", ROOT, status=LET_IN)],
    ("GET", "/sync/status"): [Row("/sync/status", ROOT)],
    ("POST", "/sync/trigger"): [Row("/sync/trigger", ROOT, status=LET_IN)],
    ("POST", "/sync/join"): [Row("/sync/join", ADMIN, {}, LET_IN)],
    ("POST", "/sync/clock"): [Row("/sync/clock", ROOT, {"t0": 0})],
    ("POST", "/sync/leave"): [Row("/sync/leave", ROOT, {}, LET_IN)],
    ("POST", "/sync/wake"): [Row("/sync/wake", ROOT, {"node_id": 5}, LET_IN)],
    ("GET", "/sync/members"): [Row("/sync/members", ROOT, status=LET_IN)],
    ("DELETE", "/sync/members/{node_id}"): [Row("/sync/members/5", ADMIN, status=LET_IN)],
    ("GET", "/sync/events"): [Row("/sync/events", ROOT)],
    ("GET", "/sync/health"): [Row("/sync/health", ROOT)],
    ("GET", "/sync/history"): [Row("/sync/history", ROOT)],
    # Conflicts
    ("GET", "/sync/conflicts"): [Row("/sync/conflicts", SOMEBODY)],
    ("GET", "/sync/conflicts/{path:path}"): [Row("/sync/conflicts/{top}/clash", "r")],
    ("POST", "/sync/conflicts/{path:path}"): [Row("/sync/conflicts/{top}/clash", "u")],
    ("POST", "/sync/resolve/{path:path}"): [
        Row("/sync/resolve/{top}/clash", "u", {"pick": "loser"})
    ],
    ("POST", "/sync/dismiss/{path:path}"): [Row("/sync/dismiss/{top}/clash", "u")],
    ("POST", "/sync/conflicts"): [
        Row("/sync/conflicts", SOMEBODY, {"paths": [], "pick": "winner"})
    ],
    # The node
    ("GET", "/system/events"): [Row("/system/events", SOMEBODY)],
    ("GET", "/metrics"): [Row("/metrics", "y")],
    ("GET", "/system/metrics"): [Row("/system/metrics", "y")],
    ("GET", "/system/stats"): [Row("/system/stats", "y")],
    ("GET", "/events/me"): [Row("/events/me", TOKEN)],
    ("POST", "/system/repair"): [Row("/system/repair", ROOT, status=LET_IN)],
    ("POST", "/system/gc"): [Row("/system/gc?dry_run=true", ROOT)],
    ("GET", "/system/tasks"): [Row("/system/tasks", ROOT, status=LET_IN)],
    ("GET", "/system/tasks/{id}"): [Row("/system/tasks/x", ROOT, status=LET_IN)],
    ("DELETE", "/system/tasks/{id}"): [Row("/system/tasks/x", ROOT, status=LET_IN)],
    ("POST", "/system/tasks/gc"): [Row("/system/tasks/gc", ROOT, {}, LET_IN)],
    ("POST", "/system/tasks/reindex"): [Row("/system/tasks/reindex", ROOT, {}, LET_IN)],
    ("POST", "/system/tasks/cleanup"): [Row("/system/tasks/cleanup", ROOT, status=LET_IN)],
    ("GET", "/system/cron"): [Row("/system/cron", ROOT, status=LET_IN)],
    ("POST", "/system/cron"): [Row("/system/cron", ROOT, {}, LET_IN)],
    ("PATCH", "/system/cron/{id}"): [Row("/system/cron/x", ROOT, {}, LET_IN)],
    ("DELETE", "/system/cron/{id}"): [Row("/system/cron/x", ROOT, status=LET_IN)],
    ("GET", "/system/lifecycle"): [Row("/system/lifecycle", ROOT)],
    ("PUT", "/system/lifecycle"): [Row("/system/lifecycle", ROOT, {}, LET_IN)],
}
CASES = [
    pytest.param(method, path, row, id=f"{method} {path} {at}")
    for (method, path), rows in ROWS.items()
    for at, row in enumerate(rows)
]
PATH_CASES = [
    pytest.param(method, path, row, id=f"{method} {path} {at}")
    for (method, path), rows in ROWS.items()
    for at, row in enumerate(rows)
    if row.is_about_paths and "{top}" in f"{row.url}{row.body}"
]


def expected(caller: Caller, row: Row, top: str, *, in_sync: bool) -> int:
    """The status that a caller is to get."""
    if row.takes == ANYBODY or caller.name in STRANGERS:
        return row.status if row.takes == ANYBODY else 401
    if caller.name == "peer":
        return row.status if in_sync and row.takes != ADMIN else 403
    if caller.flags is None or row.takes == TOKEN:
        return row.status
    if row.needs_grant and not caller.has_grant:
        return 403
    if not row.is_about_paths or row.takes == "y":
        may_write = row.takes == WRITER and set("cu") & set(caller.flags)
        is_let_in = may_write or (row.takes == SOMEBODY and caller.has_grant)
        return row.status if is_let_in else 403
    is_open = top == "open" or "{top}" not in f"{row.url}{row.body}"
    return row.status if is_open and set(row.takes) & set(caller.flags) else 404


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with asyncio.Runner() as runner:
        context = running(folder)
        here = runner.run(context.__aenter__())
        yield Desk(runner, here)
        runner.run(context.__aexit__(None, None, None))


def test_every_route_says_who_may_call_it() -> None:
    table = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert table - ROWS.keys() == set(), "add rows that say who may call these"
    assert ROWS.keys() - table == set(), "there are no such routes"


def fill(value: Any, top: str) -> Any:  # noqa: ANN401 - any JSON
    """Put the folder in question into a body."""
    if isinstance(value, str):
        return value.replace("{top}", top)
    if isinstance(value, list):
        return [fill(one, top) for one in value]
    if isinstance(value, dict):
        return {name: fill(one, top) for name, one in value.items()}
    return value


@pytest.mark.parametrize("top", ["open", "secret"])
@pytest.mark.parametrize(("method", "path", "row"), CASES)
def test_everybody_gets_what_they_may(
    desk: Desk, method: str, path: str, row: Row, top: str
) -> None:
    wrong = []
    for caller in desk.callers:
        desk.reset()
        if path.startswith("/versions"):
            desk.reset_versions()
        before = desk.state()
        reply = desk.ask(
            method, fill(row.url, top), caller.bearer, fill(row.body, top), row.data, row.fields
        )
        status = expected(caller, row, top, in_sync=path.startswith("/sync/"))
        got = reply.status_code
        is_right = got == status if status != LET_IN else got not in {401, 403}
        if not is_right:
            wrong.append(f"{caller.name}: {got} instead of {status}: {reply.text[:120]}")
        if got in {401, 403, 404} and desk.state() != before:
            wrong.append(f"{caller.name}: refused, and yet something changed")
        if got >= 400 and method != "HEAD":
            problem = reply.json()
            assert set(problem) >= {"error", "code"}
    assert wrong == []


@pytest.mark.parametrize(("method", "path", "row"), PATH_CASES)
def test_what_is_denied_looks_like_what_is_not_there(
    desk: Desk, method: str, path: str, row: Row
) -> None:
    """The same path, hidden in a tree that has it and in one that has not: not a byte differs."""
    denied = [caller for caller in desk.callers if caller.flags is not None]
    if row.needs_grant:
        denied = [caller for caller in denied if caller.has_grant]
    for caller in denied:
        desk.reset()
        url, body = fill(row.url, "secret"), fill(row.body, "secret")
        there = desk.ask(method, url, caller.bearer, body, row.data, row.fields)
        url, body = fill(row.url, "sunset"), fill(row.body, "sunset")
        nowhere = desk.ask(method, url, caller.bearer, body, row.data, row.fields)
        assert there.status_code == nowhere.status_code == 404
        assert there.content.replace(b"secret", b"sunset") == nowhere.content
        for reply in (there, nowhere):
            del reply.headers["x-request-id"]
        assert there.headers == nowhere.headers
    assert path


def test_copies_into_and_out_of_what_is_denied_are_none(desk: Desk) -> None:
    for caller in desk.callers:
        if caller.flags is None:
            continue
        for source, folder in (("secret", "open"), ("open", "secret"), ("secret", "secret")):
            desk.reset()
            before = desk.state()
            body = {"paths": [f"/{source}/a.txt"], "destination": f"/{folder}/d"}
            reply = desk.ask("POST", "/files/copy", caller.bearer, body)
            assert reply.json()["copied"] == []
            assert desk.state() == before


def test_a_move_out_of_or_into_what_is_denied_is_none(desk: Desk) -> None:
    for caller in desk.callers:
        if caller.flags is None:
            continue
        for source, target in (("secret", "open"), ("open", "secret")):
            desk.reset()
            before = desk.state()
            body = {"to": f"/{target}/moved"}
            reply = desk.ask("PATCH", f"/files/{source}/a.txt", caller.bearer, body)
            assert reply.status_code == 404
            assert desk.state() == before


def test_the_tree_of_the_tests_is_what_it_says(desk: Desk) -> None:
    desk.reset()
    with desk.here.node.repository.view() as view:
        clash, gone = (
            view.entry(to_key(parse("/open/clash"))),
            view.live_entry(parse("/open/gone")),
        )
        link = view.sight(parse("/secret/link"))
    assert clash is not None
    assert len(clash.versions) == 2
    assert gone is None
    assert link is not None
    assert link.winner.kind == Kind.SYMLINK
