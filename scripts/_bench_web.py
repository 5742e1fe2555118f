"""Servers that answer HTTP with files: ours, nginx, rclone. All on loopback, in temporary folders.

What is not installed, or lacks what a figure needs, is left out and told.
"""

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from _bench_peers import QUIET, free_port, wait_for
from _measure import NodeProcess

NGINX = """
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
worker_processes {workers};
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 10000000;
  client_max_body_size 0;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    autoindex on;
    autoindex_format json;
    {dav}
  }}
}}
"""


TAGS = ("nginx1worker", "nginx2workers", "rclonewebdav")
"""Of those that take writes."""


@dataclass(frozen=True)
class Site:
    """A server that answers.

    Attributes:
        name: For the table.
        url: Without a slash at its end.
        prefix: Of every path.
        key: Bearer to send, or empty.
        writes: Whether it takes PUT.
    """

    name: str
    url: str
    prefix: str = ""
    key: str = ""
    writes: bool = True

    @property
    def tag(self) -> str:
        """Its name as a name of a folder."""
        return re.sub(r"\W", "", self.name)


def ours(node: NodeProcess) -> Site:
    """A node of ours."""
    return Site("aeorsync", node.url, "/files", node.key or "")


def nginx(stack: contextlib.ExitStack, work: Path, root: Path, workers: int) -> Site:
    """An nginx with so many workers; PUT where its module is there."""
    port = free_port()
    work.mkdir()
    has_dav = "http_dav_module" in _said("nginx", "-V")
    text = NGINX.format(
        work=work,
        workers=workers,
        port=port,
        root=root,
        user="user root;" if os.getuid() == 0 else "",
        dav="dav_methods PUT; create_full_put_path on;" if has_dav else "",
    )
    config = work / "nginx.conf"
    config.write_text(text)
    _serve(stack, "nginx", "-p", str(work), "-c", str(config), "-e", str(work / "error.log"))
    wait_for(port)
    name = f"nginx, {workers} worker{'s' if workers > 1 else ''}"
    return Site(name, f"http://127.0.0.1:{port}", writes=has_dav)


def rclone(stack: contextlib.ExitStack, root: Path, kind: str) -> Site:
    """`rclone serve http` or `webdav`."""
    port = free_port()
    _serve(stack, "rclone", "serve", kind, "--addr", f"127.0.0.1:{port}", str(root))
    wait_for(port)
    return Site(f"rclone {kind}", f"http://127.0.0.1:{port}", writes=kind == "webdav")


def others(stack: contextlib.ExitStack, work: Path, root: Path) -> tuple[list[Site], list[str]]:
    """All other servers that are installed, and what is to be told of those that are not."""
    sites, notes = [], []
    if shutil.which("nginx"):
        sites += [nginx(stack, work / f"nginx{count}", root, count) for count in (1, 2)]
        if not sites[0].writes:
            notes.append("nginx has no module for PUT: its writes are not measured")
    else:
        notes.append("nginx is not installed: left out")
    if shutil.which("rclone"):
        sites += [rclone(stack, root, kind) for kind in ("http", "webdav")]
    else:
        notes.append("rclone is not installed: left out")
    return sites, notes


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _serve(stack: contextlib.ExitStack, *command: str) -> None:
    process = subprocess.Popen(command, **QUIET)

    def end() -> None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
