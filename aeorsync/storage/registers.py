"""Folders of JSON records in the system namespace: keys, users, chains of refresh tokens.

    /.aeordb-system/api-keys/<uuid>.json

They replicate to every node by the same code as all files, so two nodes may change one at once.
Then readers get what `Shape.join` makes of all versions, never just the one that is shown: what
was taken away on one node stays taken away, whatever the other did. A deletion among the versions
counts for more than any of them. Who changes a record does it in the writer's thread, from the
joined state, so a later change never brings back what an earlier one took.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from aeorsync.core.merge import see
from aeorsync.core.paths import SYSTEM, TreePath, from_key, join, name, to_key
from aeorsync.core.versions import Content, Entry, decode_entry
from aeorsync.errors import BadRequestError
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.states import state_of

T = TypeVar("T")
_SUFFIX = ".json"


class _Record(Protocol):
    @classmethod
    def from_json(cls, body: bytes) -> Self: ...

    def to_json(self) -> bytes: ...


R = TypeVar("R", bound=_Record)


@dataclass(frozen=True, slots=True)
class Shape(Generic[R]):
    """What the records of one folder are.

    Attributes:
        folder: Name of the folder.
        read: Makes a record of its bytes.
        join: What holds of several versions, the shown one first.
        limit: Bytes a record may have.
    """

    folder: str
    read: Callable[[bytes], R]
    join: Callable[[Sequence[R]], R]
    limit: int

    @property
    def path(self) -> TreePath:
        """Where the folder is."""
        return join(SYSTEM, self.folder)

    def at(self, record: str) -> TreePath:
        """Where the record of a name is."""
        return join(self.path, record + _SUFFIX)


class Register(Generic[R]):
    """The records of one folder. Blocking; safe from any thread."""

    def __init__(self, repository: Repository, shape: Shape[R]) -> None:
        """Look into a repository."""
        self._repository = repository
        self._shape = shape

    def get(self, record: str) -> R | None:
        """The record of a name; None when there is none, or none that can be read."""
        with self._repository.view() as view:
            entry = view.live_entry(self._shape.at(record))
        return None if entry is None else self._joined(entry)

    def all(self, start: str = "") -> Iterator[tuple[str, R]]:
        """Names and records whose names begin with ``start``, in order of the names."""
        prefix = to_key(self._shape.path) + b"\0" + start.encode()
        with self._repository.view() as view:
            items = list(view.live_items(prefix, prefix + b"\xff"))
        for key, data in items:
            path = from_key(key)
            is_record = path == self._shape.at(name(path).removesuffix(_SUFFIX))
            record = self._joined(decode_entry(data)) if is_record else None
            if record is not None:
                yield name(path).removesuffix(_SUFFIX), record

    def is_empty(self) -> bool:
        """Whether there are no records at all."""
        with self._repository.view() as view:
            return not view.has_inside(to_key(self._shape.path))

    def commit(self, operation: Callable[["Edit[R]"], T]) -> "Future[T]":
        """Change records in one commit; the future is done when that is durable.

        Args:
            operation: Decides; it may run more than once, on a newer head.
        """
        return self._repository.commit(lambda draft: operation(self.edit(draft)))

    def edit(self, draft: Draft) -> "Edit[R]":
        """The records as a draft has them, to be changed; in the writer's thread only."""
        return Edit(self._repository, self._shape, draft, self._joined)

    def _joined(self, entry: Entry) -> R | None:
        sight = see(entry)
        # All of them count, not only those that readers of files would be shown as a conflict.
        others = [version for version in entry.versions if version is not sight.winner]
        if any(version.deleted for version in entry.versions):
            return None
        versions = [self._read(v.content) for v in (sight.winner, *others)]
        known = [record for record in versions if record is not None]
        # What cannot be read may have said that something is over.
        return self._shape.join(known) if len(known) == len(versions) else None

    def _read(self, content: Content) -> R | None:
        if content.size > self._shape.limit:
            return None
        try:
            return self._shape.read(b"".join(self._repository.read(content)))
        except BadRequestError:
            return None


@dataclass(frozen=True, slots=True)
class Edit(Generic[R]):
    """The records as one draft has them."""

    _repository: Repository
    _shape: Shape[R]
    draft: Draft
    _joined: Callable[[Entry], R | None]

    def get(self, record: str) -> R | None:
        """The record of a name; see `Register.get`."""
        entry = self.draft.entry(to_key(self._shape.at(record)))
        return self._joined(entry) if entry is not None and see(entry).is_live else None

    def names(self, start: str = "") -> list[str]:
        """Names of all records that begin with ``start``, in order."""
        paths = map(from_key, self.draft.inside(self._shape.path))
        names = (name(path).removesuffix(_SUFFIX) for path in paths)
        return [one for one in names if one.startswith(start)]

    def changed_at(self, record: str) -> int:
        """When the record of a name was last changed; milliseconds since the Unix epoch."""
        sight = self.draft.live(self._shape.at(record))
        return 0 if sight is None else sight.winner.updated

    def put(self, record: str, state: R) -> None:
        """Write the record of a name."""
        content = self._repository.store_small(state.to_json())
        path = self._shape.at(record)
        put_file(self.draft, path, FileState(content, "application/json"))

    def remove(self, record: str) -> None:
        """Delete the record of a name, with all its versions."""
        path = self._shape.at(record)
        sight = self.draft.live(path)
        if sight is not None:
            self.draft.write(path, state_of(sight.winner, deleted=True, base=b""))
