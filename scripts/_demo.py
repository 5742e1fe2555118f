"""Two nodes on this machine: a folder copied in, a conflict made and resolved, all cleaned up."""

import hashlib
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.nodes import NodeProcess, is_active, root_of, wait_until

console = Console(highlight=False)
WORKERS = 8
TOPIC = "/notes/plan.txt"


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    began = time.perf_counter()
    with console.status(text):
        yield
    console.print(f"[green]✓[/] {text} [dim]{time.perf_counter() - began:.2f} s[/]")


def standard_library() -> dict[str, Path]:
    """The files of Python's own library, by their path in the tree."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return {
        f"/stdlib/{path.relative_to(root).as_posix()}": path
        for path in found
        if "site-packages" not in path.parts
    }


def copy_in(node: NodeProcess, files: dict[str, Path]) -> None:
    """Put every file on a node."""
    with node.client() as client, ThreadPoolExecutor(WORKERS) as pool:

        def put(item: tuple[str, Path]) -> None:
            path, source = item
            mode = f"{source.stat().st_mode & 0o777:o}"
            headers = {"X-AeorSync-Mode": mode}
            body = source.read_bytes()
            client.put(f"/files{quote(path)}", content=body, headers=headers).raise_for_status()

        done = pool.map(put, files.items())
        for _ in track(done, f"copying {len(files)} files to A", len(files), console=console):
            pass


def compare(node: NodeProcess, files: dict[str, Path]) -> int:
    """Read every file back from a node; returns how many bytes were the same as on disk."""
    with node.client() as client, ThreadPoolExecutor(WORKERS) as pool:

        def check(item: tuple[str, Path]) -> int:
            path, source = item
            body = client.get(f"/files{quote(path)}").raise_for_status().content
            if hashlib.sha256(body).digest() != hashlib.sha256(source.read_bytes()).digest():
                raise SystemExit(f"{path} differs on {node.url}")
            return len(body)

        return sum(pool.map(check, files.items()))


def put_text(node: NodeProcess, text: str) -> None:
    with node.client() as client:
        client.put(f"/files{TOPIC}", content=text.encode()).raise_for_status()


def text_on(node: NodeProcess) -> str:
    with node.client() as client:
        return client.get(f"/files{TOPIC}").text


def conflicts(node: NodeProcess) -> list[dict[str, object]]:
    with node.client() as client:
        items: list[dict[str, object]] = client.get("/sync/conflicts").json()["items"]
    return items


def make_conflict(a: NodeProcess, b: NodeProcess) -> None:
    """Edit one file on both nodes while neither hears of the other."""
    put_text(a, "the plan, first draft\n")
    wait_until(lambda: text_on(b) == "the plan, first draft\n")
    b.stop()
    put_text(a, "the plan, as Ada sees it\n")
    a.stop()
    b.start()
    put_text(b, "the plan, as Bob sees it\n")
    a.start()
    wait_until(lambda: conflicts(a) and conflicts(b))


def show_conflict(node: NodeProcess) -> None:
    with node.client() as client:
        found = client.get(f"/sync/conflicts{TOPIC}").json()
        table = Table("version", "node", "size", "shown", "content", title=f"conflict at {TOPIC}")
        for version in found["versions"]:
            content = client.get(version["href"]).text.strip() if version["href"] else "deleted"
            shown = "yes" if version["is_winner"] else ""
            row = (version["id"], str(version["node_id"]), str(version["size"]), shown, content)
            table.add_row(*row)
    console.print(table)


def resolve(node: NodeProcess, pick: str) -> None:
    with node.client() as client:
        client.post(f"/sync/conflicts{TOPIC}", json={"pick": pick}).raise_for_status()


def tell(folder: Path) -> None:
    """The whole story."""
    files = standard_library()
    with step("node A starts, and prints its root key"):
        a = NodeProcess(folder / "a.aeorsync")
    with a:
        with step("node B joins with one command and that key"):
            flags = ("--join", a.url, "--join-token", a.key or "")
            b = NodeProcess(folder / "b.aeorsync", *flags)
            b.key = a.key
        with b:
            wait_until(lambda: is_active(a) and is_active(b))
            copy_in(a, files)
            with step("B holds the same tree: one root hash on both"):
                wait_until(lambda: root_of(a) == root_of(b), 120)
            console.print(f"  root {root_of(b)}")
            with step("every file read back from B is the same, byte for byte"):
                total = compare(b, files)
            console.print(f"  {len(files)} files, {total / 1e6:.1f} MB")
            with step("the same file is edited on A and on B while they cannot talk"):
                make_conflict(a, b)
            show_conflict(a)
            with step("one call on B settles it everywhere"):
                resolve(b, "loser")
                wait_until(lambda: not conflicts(a) and text_on(a) == text_on(b))
                wait_until(lambda: root_of(a) == root_of(b))
            console.print(f"  both nodes now say: [bold]{text_on(a).strip()}[/]")


def main() -> None:
    console.print(Panel("aeorsync: two nodes that stay equal", expand=False))
    folder = Path(tempfile.mkdtemp(prefix="aeorsync-demo-"))
    try:
        tell(folder)
    except (httpx.HTTPError, TimeoutError) as error:
        raise SystemExit(f"the demo failed: {error!r}; logs were in {folder}") from error
    finally:
        shutil.rmtree(folder)
    console.print("[dim]both nodes stopped, everything removed[/]")


if __name__ == "__main__":
    main()
