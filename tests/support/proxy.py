"""A TCP proxy between two nodes that counts what goes through it."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class CountingProxy:
    """Listens on loopback and passes everything on to a port that is set later.

    Attributes:
        port: Where it listens.
        target: Port it connects to.
        answered: Bytes that came back from there.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.target = 0
        self.answered = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                try:
                    target = socket.create_connection(("127.0.0.1", self.target), 5)
                except OSError:
                    client.close()
                    continue
                target.settimeout(None)
                self._open += [client, target]
                for source, sink in ((client, target), (target, client)):
                    counts = source is target
                    pump = threading.Thread(
                        target=self._pump, args=(source, sink, counts), daemon=True
                    )
                    pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(65536):
                if counts:
                    self.answered += len(data)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for sock in (self._server, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
