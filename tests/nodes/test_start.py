"""How a real node starts, refuses to start, and stops."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aeorsync.config import Exit
from aeorsync.storage.database import Database
from tests.support.nodes import NodeFailedError, NodeProcess, is_active, wait_until


def refusal(folder: Path, *flags: str, port: int = 0) -> NodeFailedError:
    with pytest.raises(NodeFailedError) as caught:
        NodeProcess(folder, *flags, port=port)
    error = caught.value
    assert "Traceback" not in error.output
    assert len([line for line in error.output.splitlines() if line.startswith("error:")]) == 1
    return error


def test_the_root_key_is_printed_once_and_works(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        first = node.key
        assert first is not None
        assert first not in node.log
        with node.client() as client:
            token = client.post("/auth/token", json={"api_key": first}).json()["token"]
        with node.client(token) as client:
            assert client.get("/files/").status_code == 200
        assert node.stop() == Exit.OK
        node.key = None
        node.start()
        assert node.key is None
        with node.client(first) as client:
            assert client.get("/files/").status_code == 200


def test_a_person_sees_what_to_do_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aeorsync", "start", "-D", str(tmp_path / "a")]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    shown = ""
    while "--join http" not in shown:
        line = process.stdout.readline()
        assert line
        shown += line
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == Exit.OK
    process.stdout.close()
    for word in ("is ready on http://localhost:", "aeor_k_", "curl", "--join http://localhost:"):
        assert word in shown


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a"):
        assert refusal(tmp_path / "a").code == Exit.DATA_LOCKED


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = refusal(tmp_path / "a", port=taken.getsockname()[1])
    assert error.code == Exit.PORT_IN_USE
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert refusal(tmp_path / "file").code == Exit.DATA_UNUSABLE


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"cat")
    assert refusal(folder).code == Exit.DATA_UNUSABLE
    assert [entry.name for entry in folder.iterdir()] == ["cat.jpg"]


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    command = [sys.executable, "-m", "aeorsync", "start", "--host", "127.0.0.1", "--port", "0"]
    # Not even root can make a folder there.
    done = subprocess.run(
        [*command, "-D", "/proc/aeorsync"], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == Exit.DATA_UNUSABLE
    assert done.stderr.startswith("error: /proc/aeorsync cannot be")
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_join_token_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as a:
        key = (a.key or "")[:-4] + "0000"
        error = refusal(tmp_path / "b", "--join", a.url, "--join-token", key)
        assert error.code == Exit.JOIN_REFUSED
        assert not (tmp_path / "b").exists()
        assert key not in error.output
        with a.client() as client:
            assert client.get("/sync/peers").json()["items"] == []


def test_a_join_target_that_does_not_answer_leaves_no_folder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    error = refusal(tmp_path / "b", "--join", url, "--join-token", "aeor_k_x")
    assert error.code == Exit.JOIN_UNREACHABLE
    assert url in error.output
    assert not (tmp_path / "b").exists()


def test_a_bad_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("not a certificate")
    flags = ("--tls-cert", f"{tmp_path}/cert.pem", "--tls-key", f"{tmp_path}/cert.pem")
    assert refusal(tmp_path / "a", *flags).code == Exit.TLS
    assert not (tmp_path / "a").exists()


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        node.stop()
        (tmp_path / "a" / "meta.sqlite3").write_bytes(b"damaged " * 10_000)
    error = refusal(tmp_path / "a")
    assert error.code == Exit.DATA_UNUSABLE
    assert "meta.sqlite3" in error.output


def test_a_first_start_that_was_cut_short_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Database(tmp_path / "a" / "meta.sqlite3").close()
    with NodeProcess(tmp_path / "a") as node:
        assert node.node_id > 0
        assert node.key is not None


def test_joining_again_is_harmless_and_not_needed(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as a:
        joining = ("--join", a.url, "--join-token", a.key or "")
        with NodeProcess(tmp_path / "b", *joining) as b:
            b.stop()
            b.start()
            b.stop()
            b.flags = ()
            b.start()
            b.key = a.key
            wait_until(lambda: is_active(a) and is_active(b))
            with a.client() as client:
                assert len(client.get("/sync/peers").json()["items"]) == 1
            with b.client() as client:
                assert len(client.get("/sync/peers").json()["items"]) == 1


def test_a_node_that_joins_again_from_another_address_is_one_peer(tmp_path: Path) -> None:
    with (
        NodeProcess(tmp_path / "a") as a,
        NodeProcess(tmp_path / "b", "--join", a.url, "--join-token", a.key or "") as b,
    ):
        b.stop()
        other = a.url.replace("127.0.0.1", "localhost")
        b.port, b.flags = 0, ("--join", other, "--join-token", a.key or "")
        b.start()
        b.key = a.key
        wait_until(lambda: is_active(a) and is_active(b))
        for node, address in ((a, b.url.replace("127.0.0.1", "localhost")), (b, other)):
            with node.client() as client:
                (peer,) = client.get("/sync/peers").json()["items"]
            assert peer["address"] == address


def test_tokens_of_one_node_are_valid_on_the_other(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as a:
        flags = ("--join", a.url, "--join-token", a.key or "")
        with a.client() as client:
            token = client.post("/auth/token", json={"api_key": a.key}).json()["token"]
        with NodeProcess(tmp_path / "b", *flags) as b:
            with b.client(token) as client:
                assert client.get("/files/").status_code == 200
            with b.client(a.key) as client:
                assert client.get("/files/").status_code == 200


def test_an_open_node_needs_no_key_and_stays_on_loopback(tmp_path: Path) -> None:
    with (
        NodeProcess(tmp_path / "a", "--auth", "disabled") as node,
        httpx.Client(base_url=node.url) as client,
    ):
        assert client.put("/files/x", content=b"x").status_code == 201
        assert client.get("/files/x").content == b"x"
    command = [sys.executable, "-m", "aeorsync", "start", "--auth", "disabled"]
    done = subprocess.run(
        [*command, "-D", str(tmp_path / "b"), "--host", "192.0.2.1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.CONFIG
    assert not (tmp_path / "b").exists()


def test_an_identity_file_holds_the_keys(tmp_path: Path) -> None:
    identity = tmp_path / "identity.json"
    with NodeProcess(tmp_path / "a", "--auth", f"file://{identity}") as node:
        assert identity.stat().st_mode & 0o777 == 0o600
        assert node.key is not None
        assert node.key not in identity.read_text()
        with node.client() as client:
            assert client.get("/files/").status_code == 200
    with NodeProcess(tmp_path / "b", "--auth", f"file://{identity}") as other:
        assert other.key is None
        with other.client(node.key) as client:
            assert client.get("/files/").status_code == 200


def test_a_stop_lets_what_is_under_way_finish_and_ends_event_streams(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node, node.client() as client:
        with client.stream("GET", "/system/events") as events:
            lines = events.iter_lines()
            assert next(lines)

            def body() -> Iterator[bytes]:
                yield b"first half, "
                node.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
                yield b"second half"

            with node.client() as writer:
                answer = writer.put("/files/slow", content=body())
            assert answer.status_code == 201
            list(lines)
        began = time.monotonic()
        assert node.stop() == Exit.OK
        assert time.monotonic() - began < 10
        node.start()
        assert client.get("/files/slow").content == b"first half, second half"


def test_the_data_folder_is_private(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a"):
        folder = tmp_path / "a"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "signing.key").stat().st_mode & 0o777 == 0o600
