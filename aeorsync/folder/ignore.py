"""What takes no part: patterns in gitignore syntax.

    from                            holds for                   against the others
    ----                            ---------                   ------------------
    our own names (`temps`)         the whole folder            always
    ``--exclude``                   the whole folder            before any file
    ``.aeorsyncignore`` in a        that folder and below       deeper ones first
    folder
    ``--include``                   the whole folder            only what matches takes part;
                                                                a folder matches with all in it

In one file the last pattern that matches decides, and what lies in an ignored folder cannot be
taken back in, as with git. The file itself is synced like any other, so that patterns are shared.

A path that takes no part is neither sent nor deleted nor overwritten, on either side. It also is
no longer agreed on: should it take part again some day, both sides are compared anew, and nothing
seems to have been deleted meanwhile.

*Linear time*: patterns become expressions of RE2. A file of patterns that cannot be read, or of
more than can be used, leaves out its whole folder, for what it was to protect is not known.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Self

import msgspec

from aeorsync.core.hashing import content_hash
from aeorsync.errors import BadRequestError
from aeorsync.folder import facts, temps
from aeorsync.folder.facts import Flaw, Trouble
from aeorsync.folder.held import ChangedError, HeldFolder

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

FILE_NAME: Final = ".aeorsyncignore"
MAX_FILE: Final = 1 << 20
"""Bytes of one file of patterns."""


class _Level(msgspec.Struct, frozen=True):
    """Patterns that hold in a folder and below.

    Attributes:
        spec: The patterns.
        inner: The way from where they stand to the folder in question, with a slash at its end.
    """

    spec: "GitIgnoreSpec"
    inner: str = ""

    def verdict(self, name: str) -> bool | None:
        """Whether the patterns take an entry out, or back in; None when they say nothing."""
        return self.spec.check_file(self.inner + name, separators=()).include


class Ignore(msgspec.Struct, frozen=True):
    """The rules of one folder; made for the top by `parse`, for others by `enter`.

    Attributes:
        salt: Differs whenever the rules do; empty when there are none.
        excluded: Of ``--exclude``.
        included: Of ``--include``.
        levels: Of files, the deepest first.
        is_included: Whether the folder itself matches ``--include``, so that all in it does.
        tell: Takes what is wrong with a file of patterns.
    """

    salt: bytes
    excluded: _Level | None
    included: _Level | None
    levels: tuple[_Level, ...]
    is_included: bool
    tell: Callable[[Trouble], None]

    @classmethod
    def parse(
        cls,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        tell: Callable[[Trouble], None] = lambda _: None,
    ) -> Self:
        """The rules of a command line; `enter_top` adds the file of the folder.

        Raises:
            BadRequestError: A pattern is none.
        """
        salt = content_hash(repr((tuple(include), tuple(exclude))).encode())
        return cls(
            salt if include or exclude else b"",
            _level(exclude),
            _level(include),
            (),
            is_included=not include,
            tell=tell,
        )

    def enter_top(self, folder: HeldFolder) -> "Ignore":
        """The rules of the folder itself.

        Raises:
            ChangedError: Its file of patterns is no file.
            OSError: It cannot be read.
        """
        return self._with_file(folder)

    def enter(self, name: str, folder: HeldFolder | None) -> "Ignore":
        """The rules of a folder in this one; None for one that is not on the disk.

        Raises:
            ChangedError: Its file of patterns is no file.
            OSError: It cannot be read.
        """
        if not self.salt:
            return self if folder is None else self._with_file(folder)
        inner = msgspec.structs.replace(
            self,
            excluded=_deeper(self.excluded, name),
            included=_deeper(self.included, name),
            levels=tuple(_Level(level.spec, f"{level.inner}{name}/") for level in self.levels),
            is_included=self.is_included or self._matches(f"{name}/"),
        )
        return inner if folder is None else inner._with_file(folder)  # noqa: SLF001 - of this class

    def ignores(self, name: str, *, is_folder: bool) -> bool:
        """Whether an entry of this folder takes no part, with all that is in it.

        A folder that does not match ``--include`` itself is not ignored, for something in it may:
        see `passes`.
        """
        if temps.is_temp(name):
            return True
        if not self.salt:
            return False
        shown = f"{name}/" if is_folder else name
        try:
            if self.excluded is not None and self.excluded.verdict(shown):
                return True
            for level in self.levels:
                verdict = level.verdict(shown)
                if verdict is not None:
                    return verdict or not (is_folder or self._is_wanted(shown))
        except UnicodeEncodeError:
            return False
        return not (is_folder or self._is_wanted(shown))

    def passes(self, name: str) -> bool:
        """Whether a folder is only on the way to what takes part, and takes none itself."""
        return not self._is_wanted(f"{name}/")

    def _is_wanted(self, shown: str) -> bool:
        return self.is_included or self._matches(shown)

    def _matches(self, shown: str) -> bool:
        return self.included is None or bool(self.included.verdict(shown))

    def _with_file(self, folder: HeldFolder) -> "Ignore":
        data = _read(folder)
        if data is None:
            return self
        spec = self._parse_file(facts.join(folder.path, FILE_NAME), data)
        salt = content_hash(self.salt + content_hash(folder.path.encode()) + content_hash(data))
        return msgspec.structs.replace(self, salt=salt, levels=(_Level(spec), *self.levels))

    def _parse_file(self, path: str, data: bytes) -> "GitIgnoreSpec":
        from aeorsync.folder import patterns  # noqa: PLC0415  # most folders have none

        found: list[GitIgnoreSpecPattern] = []
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            if len(found) > patterns.MAX_PATTERNS:
                break
            try:
                if pattern := patterns.pattern(line):
                    found.append(pattern)
            except BadRequestError as error:
                shown = facts.printable(path)
                text = f"{shown}, line {number} was passed over: {error.message}"
                self.tell(Trouble(shown, Flaw.NAME, text))
        try:
            return patterns.spec(found)
        except BadRequestError as error:
            raise ChangedError(f"{facts.printable(path)}: {error.message}") from error


def _level(texts: Sequence[str]) -> _Level | None:
    if not texts:
        return None
    from aeorsync.folder import patterns  # noqa: PLC0415  # likewise

    return _Level(patterns.specs(texts))


def _deeper(level: _Level | None, name: str) -> _Level | None:
    return level and _Level(level.spec, f"{level.inner}{name}/")


def _read(folder: HeldFolder) -> bytes | None:
    """The file of patterns of a folder; None when there is none."""
    try:
        handle = folder.open(FILE_NAME)
    except FileNotFoundError:
        return None
    try:
        data = os.pread(handle, MAX_FILE + 1, 0)
    finally:
        os.close(handle)
    if len(data) > MAX_FILE:
        raise ChangedError(f"{FILE_NAME} is longer than {MAX_FILE} bytes")
    return data
