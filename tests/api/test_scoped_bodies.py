"""Fetching, downloading and patching with a key that has rules."""

import io
import zipfile

import pytest
from httpx import Response

from aeorsync.core.apikeys import KeyRule
from tests.api.conftest import Browser

PATCH = {"content-type": "application/merge-patch+json"}
RULES = (
    KeyRule("/docs/secret/**", "--------"),
    KeyRule("/docs/secret", "--------"),
    KeyRule("/docs/**", "-r--l---"),
    KeyRule("/drop/**", "c-------"),
    KeyRule("/desk/**", "cru-----"),
)


@pytest.fixture
def key(call: Browser) -> str:
    for path in ("/docs/a.json", "/docs/secret/b.json", "/other/c.json", "/desk/d.json"):
        assert call("PUT", f"/files{path}", content=b'{"a":1}').status_code == 201
    call("PUT", "/links/docs/l", json={"target": "/other/c.json"})
    return call.here.make_key(rules=RULES)[0]


def same(hidden: Response, gone: Response) -> bool:
    """Whether two answers tell the same, but for the path."""
    swap = {"/other/c.json": "X", "/other/none": "X", "/docs/secret/b.json": "X"}
    texts = []
    for reply in (hidden, gone):
        text = reply.text
        for old, new in swap.items():
            text = text.replace(old, new)
        texts.append((reply.status_code, text))
    return texts[0] == texts[1]


def test_what_is_hidden_is_fetched_like_what_is_missing(call: Browser, key: str) -> None:
    def fetch(path: str) -> Response:
        return call("POST", "/files/fetch", json={"paths": [path]}, token=key)

    assert fetch("/docs/a.json").json()["/docs/a.json"]["content"] == '{"a":1}'
    gone = fetch("/other/none")
    assert gone.status_code == 404
    for path in ("/other/c.json", "/docs/secret/b.json"):
        assert same(fetch(path), gone)
    assert fetch("/docs/l").status_code == 404


def test_an_archive_has_what_may_be_read(call: Browser, key: str) -> None:
    def download(*paths: str) -> Response:
        return call("POST", "/files/download", json={"paths": list(paths)}, token=key)

    archive = zipfile.ZipFile(io.BytesIO(download("/").content))
    assert sorted(archive.namelist()) == [
        "desk/",
        "desk/d.json",
        "docs/",
        "docs/a.json",
        "docs/l",
    ]
    assert same(download("/other/c.json"), download("/other/none"))
    assert download("/other").status_code == 404
    assert download("/docs/secret").status_code == 404


def test_who_may_not_read_a_document_may_not_patch_it(call: Browser, key: str) -> None:
    blind = call.here.make_key(rules=(KeyRule("/desk/**", "c-u-----"),))[0]

    def patch(path: str) -> Response:
        return call("PATCH", f"/files{path}", content=b"{}", headers=PATCH, token=blind)

    told = patch("/desk/d.json")
    assert (told.status_code, "hash" in told.text) == (404, False)
    assert patch("/desk/new.json").status_code == 201
    assert call("GET", "/files/desk/d.json", token=key).text == '{"a":1}'


def test_a_patch_needs_the_right_to_change_what_it_changes(call: Browser, key: str) -> None:
    def patch(path: str) -> Response:
        return call("PATCH", f"/files{path}", content=b'{"b":2}', headers=PATCH, token=key)

    assert patch("/desk/d.json").status_code == 200
    assert patch("/desk/new.json").status_code == 201
    assert patch("/drop/new.json").status_code == 201
    again = patch("/drop/new.json")
    assert again.status_code == 404
    for path in ("/docs/a.json", "/other/c.json", "/other/none"):
        assert patch(path).status_code == 404
    assert same(patch("/other/c.json"), patch("/other/none"))
    assert call("GET", "/files/other/c.json").json() == {"a": 1}
    assert call("GET", "/files/drop/new.json").json() == {"b": 2}


def test_a_key_with_rules_is_not_told_of_tasks(call: Browser, key: str) -> None:
    for method, url in (("GET", "/system/tasks"), ("GET", "/system/cron")):
        assert call(method, url, token=key).status_code in {403, 503}
