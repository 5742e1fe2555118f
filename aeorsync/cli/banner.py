"""What a person sees when a node is ready."""

import json
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from aeorsync.server import Ready


def show(ready: Ready, *, as_json: bool) -> None:
    """Print what a person needs to go on; as one JSON line for programs."""
    if as_json:
        facts = {"event": "ready", "version": ready.version, "url": ready.url}
        facts |= {"data": str(ready.data), "node_id": str(ready.node_id)}
        facts |= {"root_key": ready.root_key} if ready.root_key else {}
        print(json.dumps(facts), flush=True)  # noqa: T201 - this line is the product
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in _lines(ready):
        console.print(line)


def _lines(ready: Ready) -> list[Text]:
    head = Text.assemble(("aeorsync", "bold green"), f" {ready.version} is ready on ")
    head.append(ready.url, "bold")
    lines = [head, Text(f"  data in {ready.data}, node {ready.node_id}")]
    if ready.is_open:
        lines.append(Text("  auth is disabled: whoever reaches this address is root", "yellow"))
    if ready.joined:
        lines.append(Text(f"  joined {ready.joined}; its keys are valid here too"))
    if ready.root_key:
        lines += [Text(), Text("Root API key, shown only this once. Keep it safe:", "bold")]
        lines += [Text(f"  {ready.root_key}", "bold yellow")]
    lines += [Text(), Text("Put a file and read it back:")]
    auth = "" if ready.is_open else ' -H "Authorization: Bearer $KEY"'
    if not ready.is_open:
        lines.append(Text(f"  KEY={ready.root_key or 'aeor_k_...'}"))
    lines.append(Text(f"  echo hello | curl{auth} -T - {ready.url}/files/hello.txt"))
    lines.append(Text(f"  curl{auth} {ready.url}/files/hello.txt"))
    if not ready.joined:
        lines += [Text(), Text("Join a second node (anywhere that reaches this one):")]
        token = "any" if ready.is_open else '"$KEY"'
        lines.append(Text(f"  AEORSYNC_JOIN_TOKEN={token} {_program()} start \\"))
        lines.append(Text(f"      -D nodeB.aeorsync --port 6831 --join {ready.url}"))
    return lines


def _program() -> str:
    """How this program was called, so that it can be called again."""
    called = Path(sys.argv[0])
    if called.name != "aeorsync":
        return "aeorsync"
    here = Path.cwd()
    return shlex.quote(str(called.relative_to(here) if called.is_relative_to(here) else called))
