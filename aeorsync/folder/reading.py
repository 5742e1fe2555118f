"""Chunks of local files, for the server: read where the scan found them, checked, squeezed."""

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, Self

import msgspec

from aeorsync.client.uploading import pack
from aeorsync.core.versions import Kind
from aeorsync.errors import AeorError, StaleError
from aeorsync.folder import content, facts
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


class Read(msgspec.Struct):
    """What came of reading.

    Attributes:
        chunks: Those that were wanted.
        spoiled: Files that are not what they were, and why; none of theirs counts.
    """

    chunks: list[Chunk] = msgspec.field(default_factory=list)
    spoiled: dict[str, AeorError] = msgspec.field(default_factory=dict)


class Fresh(msgspec.Struct):
    """What came of reading files of which nothing was known but how they look.

    Attributes:
        contents: Of each.
        data: Their bytes.
        spoiled: Files that are not what they were, or cannot be read, and why.
    """

    contents: dict[str, Content] = msgspec.field(default_factory=dict)
    data: dict[str, bytes] = msgspec.field(default_factory=dict)
    spoiled: dict[str, AeorError] = msgspec.field(default_factory=dict)


def read_fresh(root: SafeRoot, sources: Iterable[Source], *, keeps: bool = True) -> Fresh:
    """Read some files once, as a whole. Blocking.

    Args:
        root: The folder.
        sources: The files; all of them together fit into memory.
        keeps: Whether their bytes are wanted; else they may be large.
    """
    found = Fresh()
    with Holder(root) as held:
        for source in sources:
            path = source.path
            try:
                with opened(held, path, source.here) as handle:
                    if keeps:
                        data = os.pread(handle, source.here.size, 0)
                        found.contents[path] = content.of(data)
                        found.data[path] = data
                    else:
                        found.contents[path] = content.read(handle, source.here.size)
            except AeorError as error:
                found.spoiled[path] = error
    return found


def read_edited(root: SafeRoot, source: Source) -> Content:
    """Read a file of any size that is there in another form already. Blocking.

    Raises:
        AeorError: It is not what it was, or cannot be read.
    """
    with Holder(root) as held, opened(held, source.path, source.here) as handle:
        return content.read(handle, source.here.size)


def read_wanted(
    root: SafeRoot,
    sources: Iterable[Source],
    wanted: Container[bytes],
    data: Mapping[str, bytes] | None = None,
) -> Read:
    """Read those chunks of some files that the server wants, each once. Blocking.

    Args:
        root: The folder.
        sources: The files.
        wanted: The chunks.
        data: Bytes of files that were read already.
    """
    known = data or {}
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
                if source.path in known:
                    chunks = _packed(known[source.path], places)
                else:
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
            demand(handle, here)
            yield handle
            demand(handle, here)
        finally:
            os.close(handle)


def _read_places(held: Holder, source: Source, places: list[Place]) -> list[Chunk]:
    with opened(held, source.path, source.here) as handle:
        return [pack(place.id, read_place(handle, place)) for place in places]


def _packed(data: bytes, places: list[Place]) -> list[Chunk]:
    if len(places) == 1 and places[0].size == len(data):
        return [pack(places[0].id, data)]
    return [pack(place.id, data[place.start : place.start + place.size]) for place in places]


def demand(handle: int, here: Fingerprint) -> None:
    """Raise if an open file does not look as expected.

    Raises:
        StaleError: It does not.
    """
    found = Fingerprint.of(os.fstat(handle))
    if found is None or found.kind is not Kind.FILE or found != here:
        raise StaleError("it changed while it was read; it is looked at again")
