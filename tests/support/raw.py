"""Bytes to a node's socket and back, in shapes that no HTTP client would send."""

import contextlib
import socket
from pathlib import Path

from tests.support.nodes import NodeProcess


def head(node: NodeProcess, request: str, *fields: str) -> bytes:
    """The head of a request by somebody who may do everything."""
    lines = [f"{request} HTTP/1.1", "Host: node", f"Authorization: Bearer {node.key}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def say(node: NodeProcess, data: bytes, *, ends: bool = False) -> bytes:
    """What comes back until the node closes, or says no more.

    Args:
        ends: close our side once all is said
    """
    received = b""
    talk = socket.create_connection(("127.0.0.1", node.port), 10)
    with talk, contextlib.suppress(OSError):
        talk.sendall(data)
        if ends:
            talk.shutdown(socket.SHUT_WR)
        while piece := talk.recv(65536):
            received += piece
            talk.settimeout(0.3)
    return received


def memory_of(node: NodeProcess) -> int:
    """Resident bytes."""
    text = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024
