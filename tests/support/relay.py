"""A wire between two nodes that a test can cut, stall and mend."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE = 1 << 16


class Relay:
    """Passes connections on to a port of this machine.

    Attributes:
        url: Where it listens.
        passed: Bytes passed towards the target.
        returned: Bytes passed back.
    """

    def __init__(self, target: int) -> None:
        """Listen at a free port; `target` is where connections go."""
        self.target = target
        self.passed = 0
        self.returned = 0
        self._is_cut = threading.Event()
        self._may_flow = threading.Event()
        self._may_flow.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes."""
        return self._is_cut.is_set()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._is_cut.set()
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Undo `cut` and `stall`."""
        self._is_cut.clear()
        self._may_flow.set()

    def stall(self) -> None:
        """Take everything, and pass nothing on."""
        self._may_flow.clear()

    def close(self) -> None:
        """End it."""
        self.cut()
        self._may_flow.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(near,), daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket) -> None:
        with near:
            if self._is_cut.is_set():
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                return
            with far:
                far.settimeout(None)
                for end in (near, far):
                    # Or what comes in two pieces is held back for 40 ms, and the delay is ours.
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {near, far}
                if self._is_cut.is_set():
                    self.cut()
                back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
                back.start()
                self._pass(near, far, is_forward=True)
                back.join()
                with self._lock:
                    self._open -= {near, far}

    def _pass(
        self, source: socket.socket, sink: socket.socket, *, is_forward: bool = False
    ) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                self._may_flow.wait()
                sink.sendall(piece)
                if is_forward:
                    self.passed += len(piece)
                else:
                    self.returned += len(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
