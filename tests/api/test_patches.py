"""`PATCH /files/{path}` with a merge patch."""

import asyncio

import pytest
from httpx import Response

from aeorsync.api import patches
from aeorsync.core import paths
from aeorsync.storage.changes import FileState, put_file
from aeorsync.wire import limits
from tests.api.conftest import Browser

TYPE = {"content-type": "application/merge-patch+json"}
URL = "/files/settings.json"


def patch(call: Browser, body: str | bytes, url: str = URL, **headers: str) -> Response:
    data = body.encode() if isinstance(body, str) else body
    return call("PATCH", url, content=data, headers={**TYPE, **headers})


def put(call: Browser, body: str, url: str = URL, **headers: str) -> Response:
    reply = call("PUT", url, content=body.encode(), headers=headers)
    assert reply.status_code == 201
    return reply


def test_a_patch_changes_what_it_names_and_leaves_the_rest(call: Browser) -> None:
    put(call, '{"a": 1.50, "b": {"c": 2, "d": 3}}')
    reply = patch(call, '{"b": {"c": null}}')
    assert reply.status_code == 200
    told = call("GET", URL)
    assert told.text == '{"a":1.50,"b":{"d":3}}'
    assert told.headers["etag"] == reply.headers["etag"] == reply.json()["etag"]
    assert reply.json()["size"] == len(told.content)


def test_a_patch_of_nothing_makes_the_document_and_says_so(call: Browser) -> None:
    reply = patch(call, '{"a": 1, "b": null}', "/files/new/x")
    assert (reply.status_code, reply.json()["content_type"]) == (201, "application/json")
    assert call("GET", "/files/new/x").text == '{"a":1}'


def test_a_charset_in_the_type_is_no_matter_and_the_type_of_the_file_stays(call: Browser) -> None:
    put(call, '{"a":1}', "/files/x.geo", **{"content-type": "application/geo+json"})
    reply = call(
        "PATCH",
        "/files/x.geo",
        content=b'{"b":2}',
        headers={"content-type": "Application/Merge-Patch+JSON; charset=utf-8"},
    )
    assert (reply.status_code, reply.json()["content_type"]) == (200, "application/geo+json")


def test_a_depth_bounds_the_merging(call: Browser) -> None:
    put(call, '{"a":{"b":1,"c":2}}')
    assert patch(call, '{"a":{"b":3}}', URL + "?depth=1").status_code == 200
    assert call("GET", URL).text == '{"a":{"b":3}}'
    assert patch(call, '{"a":{"d":4}}', URL + "?depth=-1").status_code == 200
    assert call("GET", URL).text == '{"a":{"b":3,"d":4}}'
    assert patch(call, "{}", URL + "?depth=deep").status_code == 400


def test_conditions_are_honoured(call: Browser) -> None:
    old = put(call, '{"a":1}').headers["etag"]
    new = patch(call, '{"a":2}', **{"if-match": old}).headers["etag"]
    assert patch(call, '{"a":3}', **{"if-match": old}).status_code == 412
    assert patch(call, '{"a":3}', **{"if-none-match": "*"}).status_code == 412
    assert call("GET", URL).text == '{"a":2}'
    assert patch(call, '{"a":3}', **{"if-match": new}).status_code == 200


def test_a_patch_of_an_older_version_stays_beside_what_came_since(call: Browser) -> None:
    base = put(call, '{"a":1,"b":1}').headers["etag"]
    first = put(call, '{"a":2,"b":1}', **{"x-aeorsync-base": base})
    second = put(call, '{"a":1,"b":2}', **{"x-aeorsync-base": base})
    assert second.json()["conflict"] is True
    # Whoever has seen the first only patches the first.
    reply = patch(call, '{"c":3}', **{"x-aeorsync-base": first.headers["etag"]})
    assert reply.json()["conflict"] is True
    versions = call("GET", "/sync/conflicts/settings.json").json()["versions"]
    texts = {call("GET", f"{URL}?version={v['id']}").text for v in versions}
    assert texts == {'{"a":2,"b":1,"c":3}', '{"a":1,"b":2}'}


def test_a_patch_of_a_version_that_is_gone_is_refused(call: Browser) -> None:
    base = put(call, '{"a":1}').headers["etag"]
    put(call, '{"a":2}')
    reply = patch(call, '{"b":1}', **{"x-aeorsync-base": base})
    assert reply.status_code == 412
    assert call("GET", URL).text == '{"a":2}'


def test_what_cannot_be_patched_is_refused_and_stays(call: Browser) -> None:
    put(call, "no json", "/files/a.txt")
    call("PUT", "/links/l", json={"target": "/a.txt"})
    call("POST", "/files/mkdir", json={"path": "/d"})
    for url, status in {"/files/a.txt": 415, "/files/l": 415, "/files/d": 409}.items():
        assert patch(call, "{}", url).status_code == status
    put(call, "{}")
    for bad in ("", "{", "[" * 20_000):
        assert patch(call, bad).status_code == 400
    assert patch(call, "{}", "/files/.aeordb-system/x").status_code == 404
    assert patch(call, "{}", "/files/settings.json/").status_code == 400
    assert call("GET", "/files/a.txt").text == "no json"


def test_what_is_too_long_is_refused(call: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PATCH", 100)
    assert patch(call, '{"a":"' + "x" * 100 + '"}').status_code == 413
    put(call, '{"a":"' + "x" * 50 + '"}')
    assert patch(call, '{"b":"' + "x" * 50 + '"}').status_code == 413
    put(call, '{"a":"' + "x" * 100 + '"}')
    assert patch(call, "{}").status_code == 413
    assert call("GET", URL).json() == {"a": "x" * 100}


def test_patches_at_the_same_time_all_count(call: Browser) -> None:
    client = call.here.client()

    async def all_at_once() -> list[Response]:
        return await asyncio.gather(
            *(
                client.patch(URL, content=f'{{"{n}": {n}}}'.encode(), headers=TYPE)
                for n in range(20)
            )
        )

    replies = call.run(all_at_once())
    assert sorted(r.status_code for r in replies) == [200] * 19 + [201]
    assert call("GET", URL).json() == {str(n): n for n in range(20)}


def test_what_others_write_meanwhile_is_patched_too(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(call, '{"a":1}')
    found = patches._find
    repository = call.here.node.repository
    writes = iter([b'{"a":2}', b'{"a":3}'])

    def find_and_be_overtaken(*arguments: object) -> object:
        old = found(*arguments)  # type: ignore[arg-type]
        if (data := next(writes, None)) is not None:
            content = repository.store_small(data)
            file = FileState(content, "application/json")
            path = paths.parse("/settings.json")
            repository.commit(lambda draft: put_file(draft, path, file)).result()
        return old

    monkeypatch.setattr(patches, "_find", find_and_be_overtaken)
    assert patch(call, '{"b":1}').status_code == 200
    assert call("GET", URL).json() == {"a": 3, "b": 1}


def test_patches_work_in_a_fork(call: Browser) -> None:
    put(call, '{"a":1}')
    call("POST", "/versions/forks", json={"name": "try"})
    assert patch(call, '{"b":2}', URL + "?fork=try").status_code == 200
    assert call("GET", URL + "?fork=try").json() == {"a": 1, "b": 2}
    assert call("GET", URL).json() == {"a": 1}
