"""A real node whose data folder is put back to a backup while its peer went on."""

import shutil
from pathlib import Path

from tests.support.nodes import is_active, pair, root_of, wait_until


def test_a_node_put_back_gets_what_it_forgot_and_gives_what_it_wrote_since(tmp_path: Path) -> None:
    with pair(tmp_path, "--sync-interval", "2") as (a, b):
        with a.client() as client:
            client.put("/files/old", content=b"1").raise_for_status()
        wait_until(lambda: root_of(a) == root_of(b))
        a.stop()
        shutil.copytree(a.data, tmp_path / "backup")
        a.start()
        with a.client() as client:
            client.put("/files/old", content=b"2").raise_for_status()
            client.put("/files/since", content=b"s").raise_for_status()
        wait_until(lambda: is_active(a) and is_active(b) and root_of(a) == root_of(b))
        a.stop()
        shutil.rmtree(a.data)
        shutil.copytree(tmp_path / "backup", a.data)
        a.start()
        # At once, under numbers that it may have given out before.
        with a.client() as client:
            client.put("/files/again", content=b"a").raise_for_status()
        wait_until(lambda: is_active(a) and is_active(b) and root_of(a) == root_of(b), 60)
        for node in (a, b):
            with node.client() as client:
                found = {
                    name: client.get(f"/files/{name}").text for name in ("old", "since", "again")
                }
                assert found == {"old": "2", "since": "s", "again": "a"}
                assert client.get("/sync/conflicts").json()["items"] == []
