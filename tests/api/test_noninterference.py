"""Two nodes, equal but for what is hidden: a key with rules cannot tell them apart.

The same requests go to both, those that write included. Whatever comes back, status, header and
body, is the same, once what is random or counts is taken out; and on the node that has it, nothing
that is hidden has changed. Hidden names hold a word that no answer may hold.

The rules deny what is below a hidden path, too: where one may write there, a hidden file in the
way cannot but show.
"""

import asyncio
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import parse
from aeorsync.core.versions import encode_entry
from tests.api.conftest import Browser, running

WORD = "hush"
RULES = (
    KeyRule(f"/open/in/{WORD}{{,er}}{{,/**}}", "--------"),
    KeyRule(f"/open/{WORD}/**", "--------"),
    KeyRule(f"/open/{WORD}", "--------"),
    KeyRule("/open/keep/**", "-r--l---"),
    KeyRule("/open/**", "crudl---"),
    KeyRule("**", "--------"),
)
SHOWN = ("/open/a.txt", "/open/in/x", "/open/in/deep/y", "/open/keep/k", "/open/b")
HIDDEN = (f"/{WORD}/top", f"/open/in/{WORD}", f"/open/in/{WORD}er", f"/open/{WORD}/z", f"/{WORD}s")
PLACES = (
    "/open/a.txt",
    "/open/in",
    "/open/in/x",
    "/open/in/deep",
    "/open/in/new",
    "/open/keep",
    "/open/keep/k",
    "/open/link",
    "/open/far/off",
    "/open",
    "/",
    "/none",
    *HIDDEN,
    f"/{WORD}",
    f"/open/{WORD}",
)
FILES = [
    path for path in PLACES if path not in {"/open/in", "/open/in/deep", "/open/keep", "/open"}
]
# What differs from node to node, and from one request to the next: ids, tags, tokens, hashes of
# the whole tree, the clock of the header.
_NOISE = re.compile(
    rb'"(?:etag|root_hash|id|version|node_id|stamp|timestamp|mtime|mtime_ns|[a-z]+_at)":'
    rb'("(?:[^"\\]|\\.)*"|[0-9]+)'
    rb"|\?version=[0-9a-f]+-[0-9a-f]+"
)
_VARYING = re.compile("x-request-id|etag|content-length|x-aeorsync-(version|mtime)|.*ated(-at)?")


class Pair:
    """Both nodes, and the same key on each."""

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        self.contexts = [running(folder / name) for name in ("with", "without")]
        for name in ("with", "without"):
            (folder / name).mkdir()
        self.nodes = [Browser(runner, runner.run(one.__aenter__())) for one in self.contexts]
        self.keys = [node.here.make_key(user_id=uuid4(), rules=RULES)[0] for node in self.nodes]
        for node in self.nodes:
            for path in SHOWN:
                assert node("PUT", f"/files{path}", content=path.encode()).status_code == 201
            node("PUT", "/links/open/link", json={"target": f"in/{WORD}"})
            node("PUT", "/files/open/gone", content=b"gone")
            node("DELETE", "/files/open/gone")
        for path in HIDDEN:
            self.nodes[0]("PUT", f"/files{path}", content=WORD.encode())
        self.nodes[0]("PUT", f"/files/{WORD}/gone", content=b"gone")
        self.nodes[0]("DELETE", f"/files/{WORD}/gone")
        for node in self.nodes:
            node("POST", "/versions/snapshots", json={"name": "kept"})
            node("POST", "/versions/forks", json={"name": "apart"})
        self.before = self.hidden()

    def hidden(self) -> list[bytes | None]:
        """What is hidden, as it is stored."""
        with self.nodes[0].here.node.repository.view() as view:
            entries = [view.live_entry(parse(path)) for path in HIDDEN]
        return [None if entry is None else encode_entry(entry) for entry in entries]

    def ask(self, method: str, url: str, **fields: object) -> httpx.Response:
        """Ask both; fails unless they answer the same."""
        with_it, without = (
            node(method, url, token=key, **fields)
            for node, key in zip(self.nodes, self.keys, strict=True)
        )
        said = f"{method} {url} {fields}"
        assert with_it.status_code == without.status_code, said
        assert _plain(with_it) == _plain(without), said
        if WORD not in said:
            # A link that leads there may say so: it is read as any content is.
            text = re.sub(rb'"target":"[^"]*"', b"", with_it.content)
            assert WORD.encode() not in text, said
        return with_it


def _plain(reply: httpx.Response) -> tuple[bytes, dict[str, str]]:
    fields = {name: text for name, text in reply.headers.items() if not _VARYING.fullmatch(name)}
    return _NOISE.sub(b"", reply.content), fields


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with asyncio.Runner() as runner:
        made = Pair(runner, tmp_path)
        yield made
        for context in made.contexts:
            runner.run(context.__aexit__(None, None, None))


QUERIES = ("", "?snapshot=kept", "?fork=apart", "?depth=-1", "?nofollow=true", "?glob=*")
READS = st.one_of(
    st.tuples(
        st.sampled_from(["GET", "HEAD"]),
        st.builds(
            "/files{}{}{}".format,
            st.sampled_from(PLACES),
            st.sampled_from(["", "/"]),
            st.sampled_from(QUERIES),
        ),
        st.none(),
    ),
    st.tuples(st.just("GET"), st.builds("/links{}".format, st.sampled_from(FILES)), st.none()),
    st.tuples(
        st.just("GET"),
        st.builds("/versions/history{}".format, st.sampled_from(PLACES)),
        st.none(),
    ),
    st.tuples(
        st.just("GET"),
        st.builds("/files/deleted?path={}".format, st.sampled_from(PLACES)),
        st.none(),
    ),
    st.tuples(
        st.just("GET"), st.builds("/sync/conflicts{}".format, st.sampled_from(PLACES)), st.none()
    ),
    st.sampled_from(
        [
            ("GET", "/sync/conflicts", None),
            ("GET", "/versions/snapshots", None),
            ("GET", "/versions/forks", None),
            ("POST", "/sync/diff", {}),
            ("POST", "/sync/diff", {"paths": ["/open/in/**"]}),
            ("POST", "/sync/diff", {"paths": ["**"], "include_system": True}),
        ]
    ),
    st.tuples(
        st.sampled_from(["POST"]),
        st.sampled_from(["/files/fetch"]),
        st.fixed_dictionaries(
            {
                "paths": st.lists(st.sampled_from(PLACES), min_size=1, max_size=3),
                "continue_on_error": st.booleans(),
            }
        ),
    ),
)
WRITES = st.one_of(
    st.tuples(
        st.just("PUT"), st.builds("/files{}".format, st.sampled_from(FILES)), st.just(b"mine")
    ),
    st.tuples(
        st.just("DELETE"),
        st.builds(
            "/files{}{}".format, st.sampled_from(PLACES), st.sampled_from(["", "?recursive=true"])
        ),
        st.none(),
    ),
    st.tuples(
        st.just("PATCH"),
        st.builds("/files{}".format, st.sampled_from(PLACES)),
        st.builds(lambda to: {"to": to}, st.sampled_from(PLACES)),
    ),
    st.tuples(
        st.just("POST"),
        st.just("/files/mkdir"),
        st.builds(lambda path: {"path": path}, st.sampled_from(PLACES)),
    ),
    st.tuples(
        st.just("POST"),
        st.just("/files/restore"),
        st.builds(lambda path: {"path": path}, st.sampled_from((*PLACES, "/open/gone"))),
    ),
    st.tuples(
        st.just("POST"),
        st.just("/files/copy"),
        st.builds(
            lambda path, folder: {"paths": [path], "destination": folder},
            st.sampled_from(PLACES),
            st.sampled_from(PLACES),
        ),
    ),
    st.tuples(
        st.just("PUT"),
        st.builds("/links{}".format, st.sampled_from(FILES)),
        st.builds(lambda target: {"target": target}, st.sampled_from(PLACES)),
    ),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.one_of(READS, WRITES), min_size=5, max_size=25))
def test_what_is_hidden_changes_no_answer_and_no_request_changes_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, object]]
) -> None:
    with asyncio.Runner() as runner:
        pair = Pair(runner, tmp_path_factory.mktemp("pair"))
        for method, url, body in steps:
            if isinstance(body, bytes):
                pair.ask(method, url, content=body)
            elif body is None:
                pair.ask(method, url)
            else:
                pair.ask(method, url, json=body)
            assert pair.hidden() == pair.before
        for context in pair.contexts:
            runner.run(context.__aexit__(None, None, None))


QUESTIONS = (
    "/files{}",
    "/files{}?depth=-1",
    "/files{}?snapshot=kept",
    "/files{}?fork=apart",
    "/links{}",
    "/versions/history{}",
    "/files/deleted?path={}",
    "/sync/conflicts{}",
)


def test_every_question_about_every_place_is_answered_alike(pair: Pair) -> None:
    clash = {"X-AeorSync-Base": '""'}
    there = pair.nodes[0]
    assert there("PUT", f"/files/{WORD}/top", content=b"2", headers=clash).status_code == 201
    assert len(there("GET", "/sync/conflicts").json()["items"]) == 1
    pair.ask("GET", "/sync/conflicts")
    pair.ask("GET", "/files/deleted")
    for place in PLACES:
        for question in QUESTIONS:
            pair.ask("GET", question.format(place))
        pair.ask("POST", "/files/fetch", json={"paths": [place], "continue_on_error": True})


def test_an_archive_holds_nothing_that_is_hidden(pair: Pair) -> None:
    found: set[str] = set()
    for place in PLACES:
        with_it, without = (
            node("POST", "/files/download", json={"paths": [place]}, token=key)
            for node, key in zip(pair.nodes, pair.keys, strict=True)
        )
        assert with_it.status_code == without.status_code
        if with_it.status_code == 200:
            files = unpacked(with_it)
            assert files == unpacked(without)
            assert WORD.encode() not in b"".join(files.values())
            found.update(files)
        else:
            assert _plain(with_it) == _plain(without)
    assert "open/in/deep/y" in found


def unpacked(reply: httpx.Response) -> dict[str, bytes]:
    """What is in an archive; where a link leads is no secret."""
    with ZipFile(BytesIO(reply.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name[-4:] != "link"}


def test_a_listing_counts_nothing_that_is_hidden(pair: Pair) -> None:
    listing = pair.ask("GET", "/files/open/in").json()
    assert [item["name"] for item in listing["items"]] == ["deep", "x"]
    assert listing["total"] == 2
    assert listing["items"][1]["effective_permissions"] == "crudl---"
    root = pair.ask("GET", "/files").json()
    assert [(item["name"], item["effective_permissions"]) for item in root["items"]] == [
        ("open", "-r--l---")
    ]


def test_a_folder_that_is_left_with_what_is_hidden_is_gone_and_keeps_it(pair: Pair) -> None:
    assert pair.ask("DELETE", "/files/open/in?recursive=true").status_code == 200
    assert pair.ask("GET", "/files/open/in").status_code == 404
    assert pair.hidden() == pair.before
    assert pair.ask("POST", "/files/mkdir", json={"path": "/open/in"}).json()["created"]


def test_what_one_sees_and_may_not_delete_saves_the_whole(pair: Pair) -> None:
    reply = pair.ask("DELETE", "/files/open/keep?recursive=true")
    assert reply.status_code == 404
    assert pair.ask("GET", "/files/open/keep/k").status_code == 200


def test_a_link_to_what_is_hidden_leads_nowhere(pair: Pair) -> None:
    assert pair.ask("GET", "/files/open/link").status_code == 404
    assert pair.ask("GET", "/links/open/link").status_code == 200


@pytest.mark.parametrize(
    "spelling",
    [
        "/files/%68ush/top",
        "/files/hush%2Ftop",
        "/files/open%2F..%2Fhush%2Ftop",
        "/files/open/../hush/top",
        "/files/open/%2e%2e/hush/top",
        "/files/open/%252e%252e/hush/top",
        "/files//hush//top",
        "/files/HUSH/top",
        "/files/hush/top/",
        "/files/./hush/top",
        "/files/open/in/%68ush",
        "/files/open/in/hus%68",
        "/files/open%5C..%5Chush/top",
        "//files/hush/top",
    ],
)
def test_no_spelling_dodges_a_rule(pair: Pair, spelling: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        replies = [
            node.raw(method, spelling.encode(), token=key)
            for node, key in zip(pair.nodes, pair.keys, strict=True)
        ]
        assert replies[0].status_code == replies[1].status_code
        assert replies[0].status_code in {400, 404}
        assert replies[0].content == replies[1].content
    assert pair.hidden() == pair.before
