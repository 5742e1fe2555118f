"""Counts what travels between two nodes: a relay on loopback that one of them dials.

Everything on the connections is counted, heads of requests, probes and event streams included; a
round trip is one `POST /sync/...`.
"""

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Self

_ASKED = re.compile(rb"POST /sync/[a-z]+[ ?]")
_PIECE = 1 << 18


class Relay:
    """Passes bytes on to a port of this machine.

    Attributes:
        sent: Bytes that went towards the port.
        received: Bytes that came back.
        asked: How many requests of a cycle were among those sent.
    """

    def __init__(self, port: int) -> None:
        self.sent = self.received = self.asked = 0
        self._target = port
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def counts(self) -> tuple[int, int]:
        """Bytes both ways, and round trips, so far."""
        with self._lock:
            return self.sent + self.received, self.asked

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for one, other, is_up in ((near, far, True), (far, near, False)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    words = (one, other, is_up)
                    threading.Thread(target=self._pass, args=words, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                with self._lock:
                    if is_up:
                        self.sent += len(data)
                        self.asked += len(_ASKED.findall(data))
                    else:
                        self.received += len(data)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
