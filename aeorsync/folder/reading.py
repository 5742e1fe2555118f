"""Chunks of local files, for the server: read where the scan found them, checked, squeezed."""

import os
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self

from aeorsync.client.uploading import pack
from aeorsync.core.versions import Kind
from aeorsync.errors import AeorError, StaleError
from aeorsync.folder import facts
from aeorsync.folder.content import read_place
from aeorsync.folder.facts import Content, Fingerprint, Place
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.root import SafeRoot, told
from aeorsync.wire.framing import Chunk


class Source(Protocol):
    """A local file of which the server gets a version."""

    @property
    def path(self) -> str:
        """Where it is."""

    @property
    def here(self) -> Fingerprint:
        """How it looked when it was scanned."""

    @property
    def content(self) -> Content | None:
        """What it held then."""


@dataclass(slots=True)
class Read:
    """What came of reading.

    Attributes:
        chunks: Those that were wanted.
        spoiled: Files that are not what they were, and why; none of theirs counts.
    """

    chunks: list[Chunk] = field(default_factory=list)
    spoiled: dict[str, AeorError] = field(default_factory=dict)


def read_wanted(root: SafeRoot, sources: Iterable[Source], wanted: Container[bytes]) -> Read:
    """Read those chunks of some files that the server wants, each once. Blocking."""
    found = Read()
    done: set[bytes] = set()
    held = Holder(root)
    with held:
        for source in sources:
            places = [
                place
                for place in facts.places(source.content.chunks if source.content else b"")
                if place.id in wanted and place.id not in done
            ]
            if not places:
                continue
            try:
                chunks = _read_places(held, source, places)
            except AeorError as error:
                found.spoiled[source.path] = error
                continue
            found.chunks += chunks
            done.update(chunk.id for chunk in chunks)
    return found


def read_some(root: SafeRoot, source: Source, places: list[Place]) -> list[Chunk]:
    """Read some chunks of one file. Blocking.

    Raises:
        AeorError: It is not what it was, or cannot be read.
    """
    with Holder(root) as held:
        return _read_places(held, source, places)


class Holder:
    """Keeps the folder of the last path open, since the next one is mostly there as well."""

    def __init__(self, root: SafeRoot) -> None:
        self._root = root
        self._path: str | None = None
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def folder_of(self, path: str) -> HeldFolder:
        """The folder that holds a path; valid until the next call.

        Raises:
            LostError: It is not there, or something on the way is no folder.
            DiskError: The disk refused.
        """
        parent = facts.parent(path)
        if self._path != parent:
            self._let_go()
            with told(parent):
                self._handle = self._root.walk(parent)
            self._path = parent
        return HeldFolder(self._root.owner, self._handle, parent)

    def _let_go(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._path = -1, None


@contextmanager
def opened(held: Holder, path: str, here: Fingerprint) -> Iterator[int]:
    """Open a file that looks as expected, before and after what is done with it.

    Raises:
        StaleError: It does not.
        DiskError: It cannot be read.
    """
    folder = held.folder_of(path)
    with told(path):
        handle = folder.open(facts.name(path))
        try:
            _demand(handle, here)
            yield handle
            _demand(handle, here)
        finally:
            os.close(handle)


def _read_places(held: Holder, source: Source, places: list[Place]) -> list[Chunk]:
    with opened(held, source.path, source.here) as handle:
        return [pack(place.id, read_place(handle, place)) for place in places]


def _demand(handle: int, here: Fingerprint) -> None:
    found = Fingerprint.of(os.fstat(handle))
    if found is None or found.kind is not Kind.FILE or found != here:
        raise StaleError("it changed while it was read; it is looked at again")
