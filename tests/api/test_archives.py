"""`POST /files/download`: a ZIP archive that unpacks to what was there."""

import io
import os
import random
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from aeorsync.core.paths import parse
from aeorsync.wire import limits
from tests.api.conftest import Browser

PDF = {"content-type": "application/pdf"}


def put(call: Browser, path: str, data: bytes = b"x", **headers: str) -> None:
    assert call("PUT", f"/files{path}", content=data, headers=headers).status_code == 201


def download(call: Browser, *paths: str, **fields: Any) -> Response:  # noqa: ANN401 - passed on
    return call("POST", "/files/download", json={"paths": list(paths)}, **fields)


def opened(reply: Response) -> zipfile.ZipFile:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(reply.content))
    assert archive.testzip() is None
    return archive


def test_a_folder_comes_with_all_that_is_in_it(call: Browser) -> None:
    put(call, "/docs/a.txt", b"hello")
    put(call, "/docs/deep/é ü.bin", bytes(range(256)))
    put(call, "/other", b"no")
    call("POST", "/files/mkdir", json={"path": "/docs/empty"})
    archive = opened(download(call, "/docs"))
    assert sorted(archive.namelist()) == [
        "docs/",
        "docs/a.txt",
        "docs/deep/",
        "docs/deep/é ü.bin",
        "docs/empty/",
    ]
    assert archive.read("docs/a.txt") == b"hello"
    assert archive.read("docs/deep/é ü.bin") == bytes(range(256))


def test_several_things_stand_side_by_side_under_names_of_their_own(call: Browser) -> None:
    for path in ("/a/x.txt", "/b/x.txt", "/c/d/y"):
        put(call, path, path.encode())
    archive = opened(download(call, "/a/x.txt", "b/x.txt", "/c", "/a/x.txt"))
    assert archive.namelist() == ["x.txt", "x (2).txt", "c/", "c/d/", "c/d/y"]
    assert archive.read("x (2).txt") == b"/b/x.txt"


def test_the_root_comes_without_a_folder_around_it_and_without_what_is_hidden(
    call: Browser,
) -> None:
    put(call, "/a", b"1")
    put(call, "/.aeordb-config/x", b"1")
    call.here.make_key()
    assert opened(download(call, "/")).namelist() == ["a"]
    assert download(call, "/.aeordb-config").status_code == 404
    assert download(call, "/.aeordb-system").status_code == 404


def test_times_executable_bits_and_links_are_kept(call: Browser, tmp_path: Path) -> None:
    mode, mtime = {"x-aeorsync-mode": "755"}, {"x-aeorsync-mtime": "1700000000000"}
    put(call, "/d/run.sh", b"#!/bin/sh\n", **mode, **mtime)
    put(call, "/d/plain", b"1" * 1000, **mtime)
    put(call, "/d/old", b"1", **{"x-aeorsync-mtime": "-999999999999"})
    put(call, "/d/far", b"1", **{"x-aeorsync-mtime": "4100000000000"})
    call("PUT", "/links/d/l", json={"target": "plain"})
    call("PUT", "/links/d/out", json={"target": "../../etc/passwd"})
    (tmp_path / "a.zip").write_bytes(download(call, "/d").content)
    code = "import sys, zipfile\nzipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
    subprocess.run(["python3", "-c", code, tmp_path / "a.zip", tmp_path / "py"], check=True)
    archive = zipfile.ZipFile(tmp_path / "a.zip")
    modes = {info.filename: oct(info.external_attr >> 16) for info in archive.infolist()}
    assert modes == {
        "d/": "0o40755",
        "d/run.sh": "0o100755",
        "d/plain": "0o100644",
        "d/old": "0o100644",
        "d/far": "0o100644",
        "d/l": "0o120777",
        "d/out": "0o120777",
    }
    assert archive.read("d/l") == b"plain"
    assert archive.getinfo("d/plain").date_time == (2023, 11, 14, 22, 13, 20)
    assert archive.getinfo("d/old").date_time[0] == 1980
    assert archive.getinfo("d/plain").compress_size < 100


def test_one_file_alone_is_an_archive_of_that_name(call: Browser) -> None:
    put(call, "/d/é.txt", b"1")
    reply = download(call, "/d/é.txt")
    assert opened(reply).namelist() == ["é.txt"]
    assert "%C3%A9.txt.zip" in reply.headers["content-disposition"]


def test_what_is_packed_already_is_stored_as_it_is(call: Browser) -> None:
    data = random.Random(1).randbytes(3_000_000)
    put(call, "/a.pdf", data, **PDF)
    put(call, "/b.bin", data)
    archive = opened(download(call, "/"))
    assert archive.read("a.pdf") == archive.read("b.bin") == data


def test_a_file_that_is_a_folder_too_does_not_bring_what_is_in_it(call: Browser) -> None:
    put(call, "/d/a", b"file")
    node = call.here.node
    with node.repository.view() as view:
        copy = view.live_entry(parse("/d/a"))
    assert copy is not None
    node.repository.apply([(b"d\0a\0inside", copy)], 9).result()
    assert opened(download(call, "/d")).namelist() == ["d/", "d/a"]


def test_what_is_missing_or_too_much_is_refused(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(call, "/a", b"12345")
    put(call, "/b", b"12345")
    assert download(call, "/a", "/no").status_code == 404
    assert download(call).status_code == 400
    assert download(call, "/../a").status_code == 400
    monkeypatch.setattr(limits, "MAX_DOWNLOAD", 9)
    assert download(call, "/").status_code == 413
    monkeypatch.setattr(limits, "MAX_DOWNLOAD", 10)
    assert download(call, "/").status_code == 200
    monkeypatch.setattr(limits, "MAX_DOWNLOAD_ENTRIES", 1)
    assert download(call, "/").status_code == 413


def test_the_past_can_be_downloaded(call: Browser) -> None:
    put(call, "/a", b"old")
    assert call("POST", "/versions/snapshots", json={"name": "s"}).status_code == 201
    put(call, "/a", b"new")
    body = {"paths": ["/a"]}
    reply = call("POST", "/files/download?snapshot=s", json=body)
    assert opened(reply).read("a") == b"old"


def test_many_entries_fit(call: Browser) -> None:
    body = b"".join(b"%d" % n for n in range(10))
    for n in range(300):
        put(call, f"/d/{n % 7}/{n}", body)
    archive = opened(download(call, "/"))
    assert len(archive.namelist()) == 300 + 7 + 1
    assert os.path.commonpath(archive.namelist()) == "d"


def test_a_link_that_may_go_by_the_name_of_a_folder_is_left_out(call: Browser) -> None:
    put(call, "/d/é/x")
    for name in ("É", "e\u0301", "other"):
        call("PUT", f"/links/d/{name}", json={"target": "/etc"})
    archive = opened(download(call, "/d"))
    assert sorted(archive.namelist()) == ["d/", "d/other", "d/é/", "d/é/x"]
