"""People and programs who work in synced folders; what they do is told to the model.

Whatever is overwritten, deleted or moved away is taken out in one step (`renameat2`), so the model
knows exactly what its writer ended, also while a folder client writes to the same path.
"""

import itertools
import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from aeorsync.folder.copies import looks_like_copy
from tests.support.folder_model import Model
from tests.support.folder_trees import (
    digest,
    exchange,
    leaf_at,
    link_name,
    move_new,
    original_of,
    walk,
)

NAMES: Final = ("a.txt", "b.txt", "ç.md", "plan (1).txt", "x", "data.bin", "README", ".hidden")
FOLDERS: Final = ("docs", "docs/deep", "src", "src/lib/one", "été", "tmp")
SOURCE: Final = Path(__file__).parents[2] / "aeorsync"
_numbers = itertools.count()


class Editor:
    """Somebody who edits below one path of one folder."""

    def __init__(
        self,
        root: Path,
        top: str,
        model: Model,
        source: random.Random,
        knows: Callable[[str, str], bool] = lambda _path, _content: True,
    ) -> None:
        """Sit down.

        Args:
            root: The synced folder.
            top: Where in it, a path without slashes at its ends.
            model: Is told everything.
            source: Of all choices.
            knows: Whether the client has written down a path and its content. One that is killed
                between placing a file and writing that down places it once more, so what was
                taken away in between may be there again.
        """
        self._knows = knows
        self._root = root
        self._top = top
        self._model = model
        self._random = source
        self._aside = root.parent / f"{root.name}.aside"
        self._aside.mkdir(exist_ok=True)
        self._gone: dict[Path, str] = {}
        self._acts: tuple[tuple[int, Callable[[], None]], ...] = (
            (10, self.write),
            (6, self.append),
            (2, self.truncate),
            (3, self.edit_behind_its_time),
            (2, self.touch),
            (2, self.flip_bit),
            (5, self.delete),
            (4, self.rename),
            (2, self.rename_folder),
            (1, self.delete_folder),
            (2, self.make_folder),
            (2, self.change_kind),
            (3, self.link),
            (2, self.copy),
            (5, self.handle_copy),
        )

    def act(self) -> None:
        """Do something."""
        weights = [weight for weight, _ in self._acts]
        (chosen,) = self._random.choices([act for _, act in self._acts], weights)
        # The client may take away what was chosen a moment ago.
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError):
            chosen()

    def write(self, path: str | None = None) -> None:
        """Save a file as editors do: a new one beside, then renamed over the old one."""
        at = path or self._some_path()
        self._place(self._new_file(self._body()), at)

    def append(self) -> None:
        """Write in place, in two steps, as a log does."""
        self._write_in_place(lambda old: [old + self._body(200), old + self._body(3000)])

    def truncate(self) -> None:
        """Make a file shorter, or empty."""
        self._write_in_place(lambda old: [old[: self._random.choice((0, len(old) // 2))]])

    def edit_behind_its_time(self) -> None:
        """Change bytes, keep size and time."""

        def same_size(old: bytes) -> list[bytes]:
            body = self._body(len(old))[: len(old)]
            return [body] if len(body) > 40 else []

        self._write_in_place(same_size, is_time_kept=True)

    def touch(self) -> None:
        """Change nothing but the time."""
        if (path := self._some_file()) is not None:
            leaf = leaf_at(self._root / path)
            self._mark(path)
            nanoseconds = self._random.randrange(10**18, 17 * 10**17)
            os.utime(self._root / path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
            self._note(f"touch {path} {leaf}")

    def flip_bit(self) -> None:
        """Make a file executable, or not."""
        if (path := self._some_file()) is not None:
            self._mark(path)
            mode = (self._root / path).stat().st_mode
            (self._root / path).chmod(mode ^ 0o111)
            self._note(f"chmod {path}")

    def delete(self) -> None:
        """Delete a file, a link or a conflict copy."""
        if (path := self._some_file(is_link_welcome=True)) is not None:
            self._take_away(path)

    def rename(self) -> None:
        """Give a file another name, in any folder."""
        source, target = self._some_file(), self._some_path()
        if source is None or source == target:
            return
        (self._root / target).parent.mkdir(parents=True, exist_ok=True)
        if move_new(self._root / source, self._root / target):
            self._arrived(target, came_from=source)

    def rename_folder(self) -> None:
        """Give a folder with all that is in it another name."""
        source = self._some_folder()
        if source is None:
            return
        target = f"{self._top}/moved{next(_numbers)}"
        if move_new(self._root / source, self._root / target):
            self._model.moved(source, target)
            self._note(f"rename folder {source} -> {target}")
            for path, leaf in walk(self._root / target).items():
                if leaf.content:
                    self._taken(leaf.content, f"{source}/{path}")
                    self._born(leaf.content, f"{target}/{path}")

    def delete_folder(self) -> None:
        """Delete a folder with all that is in it."""
        if (path := self._some_folder()) is not None:
            self._take_away(path)

    def make_folder(self) -> None:
        """Make a folder that stays empty."""
        path = f"{self._top}/{self._random.choice(FOLDERS)}/empty{self._random.randrange(3)}"
        (self._root / path).mkdir(parents=True, exist_ok=True)
        self._note(f"mkdir {path}")

    def change_kind(self) -> None:
        """Make a file a folder, or a folder a file."""
        if self._random.random() < 0.5:
            if (path := self._some_file()) is not None and not _is_copy(path):
                self._take_away(path)
                (self._root / path).mkdir()
                self.write(f"{path}/inside.txt")
        elif (path := self._some_folder()) is not None:
            self._take_away(path)
            self.write(path)

    def link(self) -> None:
        """Make a symbolic link, in place of anything but a folder."""
        target = self._random.choice(("../x", "a.txt", "/nowhere", "é/ü")) + str(next(_numbers))
        new = self._aside / f"link{next(_numbers)}"
        new.symlink_to(target)
        self._place(new, self._some_path())

    def copy(self) -> None:
        """Copy a file, as cp does."""
        source = self._some_file()
        if source is not None:
            body = (self._root / source).read_bytes()
            self._place(self._new_file(body), self._some_path())

    def handle_copy(self) -> None:
        """Edit a conflict copy, delete it, or put it in the place of the file."""
        copies = [path for path in self._files() if _is_copy(path)]
        if not copies:
            return
        path = self._random.choice(copies)
        match self._random.randrange(3):
            case 0:
                self._place(self._new_file(self._body()), path)
            case 1:
                self._take_away(path)
            case _:
                self._take_the_place(path, original_of(path))

    def clear_way(self, path: str) -> None:
        """Take something out of the way: the other side has another kind under that name."""
        aside = f"{path}.aside{next(_numbers)}"
        if move_new(self._root / path, self._root / aside):
            self._note(f"clash: {path} -> {aside}")
            self._model.moved(path, aside)
            if (leaf := leaf_at(self._root / aside)) is not None and leaf.content:
                self._arrived(aside, came_from=path)
            for inner, leaf in walk(self._root / aside).items():
                if leaf.content:
                    self._taken(leaf.content, f"{path}/{inner}")
                    self._born(leaf.content, f"{aside}/{inner}")

    def swept(self) -> None:
        """End what arrived in folders after they were thrown away."""
        for gone, original in self._gone.items():
            for path, content in _all(gone, original).items():
                self._taken(content, path)

    def _take_the_place(self, copy: str, original: str) -> None:
        """Rename a conflict copy over its file."""
        source, target = self._root / copy, self._root / original
        if move_new(source, target):
            self._arrived(original, came_from=copy)
        elif leaf_at(target) is not None and target.is_file() and exchange(source, target):
            # For a moment the old winner stands in the copy's place, which counts as an edit.
            old = leaf_at(source)
            self._take_away(copy)
            new = leaf_at(target)
            if old is not None:
                self._ended(old.content, original)
            if new is not None:
                self._born(new.content, original)
            self._note(f"promote {copy} {new}")

    def _place(self, new: Path, path: str) -> None:
        """Rename a file from outside to a path, in one step; whatever was there is ended."""
        target = self._root / path
        # The model has to know it first: it may be found by others at once.
        leaf = leaf_at(new)
        assert leaf is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        self._born(leaf.content, path)
        self._note(f"write {path} {leaf.content}")
        if move_new(new, target):
            return
        if target.is_dir() and not target.is_symlink():
            self._ended(leaf.content, path)
        elif exchange(new, target):
            old = leaf_at(new)
            if old is not None and old.content != leaf.content:
                self._ended(old.content, path)
                self._note(f"  was {old.content}")
        else:
            self._ended(leaf.content, path)
        with suppress(FileNotFoundError):
            new.unlink()

    def _take_away(self, path: str) -> None:
        """Delete a path in one step: what was there is known afterwards."""
        gone = self._aside / f"gone{next(_numbers)}"
        if not move_new(self._root / path, gone):
            return
        self._gone[gone] = path
        contents = _all(gone, path)
        for at, content in contents.items():
            self._taken(content, at)
        self._note(f"delete {path} {sorted(contents.values())[:5]}")

    def _write_in_place(
        self, change: Callable[[bytes], list[bytes]], *, is_time_kept: bool = False
    ) -> None:
        path = self._some_file()
        if path is None:
            return
        handle = os.open(self._root / path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            before = os.fstat(handle)
            old = os.pread(handle, before.st_size + 1, 0)
            for body in change(old):
                self._known(body)
                os.pwrite(handle, body, 0)
                os.ftruncate(handle, len(body))
                if is_time_kept:
                    os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
                if digest(body) != digest(old):
                    self._ended(digest(old), path)
                self._born(digest(body), path)
                self._note(f"in place {path} {digest(body)} was {digest(old)}")
                old = body
            # A client that put another file there meanwhile did not overwrite this one's bytes,
            # but an editor that holds the old file open writes to what has no name any more.
            with suppress(FileNotFoundError):
                if os.lstat(self._root / path).st_ino == before.st_ino:
                    return
            self._ended(digest(old), path)
        finally:
            os.close(handle)

    def _arrived(self, target: str, *, came_from: str) -> None:
        """Tell the model what a rename moved; it is known exactly, but for edits in between."""
        leaf = leaf_at(self._root / target)
        self._note(f"rename {came_from} -> {target} {leaf}")
        if leaf is not None and leaf.content:
            self._taken(leaf.content, came_from)
            self._born(leaf.content, target)

    def _born(self, content: str, path: str) -> None:
        self._model.born(content, original_of(path))

    def _taken(self, content: str, path: str) -> None:
        self._ended(content, path)
        if content and not self._knows(path, content):
            self._model.touch(content, original_of(path))

    def _ended(self, content: str, path: str) -> None:
        if original_of(path) != path:
            # To decide about a copy states the file again: it stays beside a deletion at once.
            self._mark(original_of(path))
        self._model.ended(content, original_of(path))

    def _mark(self, path: str) -> None:
        leaf = leaf_at(self._root / path)
        if leaf is not None:
            self._model.touch(leaf.content, original_of(path))

    def _known(self, body: bytes) -> None:
        self._model.known.add(digest(body))

    def _note(self, what: str) -> None:
        self._model.note(self._root.name, what)

    def _some_path(self) -> str:
        folders = ["", *(f"/{folder}" for folder in FOLDERS)]
        moved = [path.removeprefix(self._top) for path in self._folders()]
        folder = self._random.choice(folders if self._random.random() < 0.7 else moved or folders)
        return f"{self._top}{folder}/{self._random.choice(NAMES)}"

    def _some_file(self, *, is_link_welcome: bool = False) -> str | None:
        paths = self._files(is_link_welcome=is_link_welcome)
        return self._random.choice(paths) if paths else None

    def _some_folder(self) -> str | None:
        paths = self._folders()
        return self._random.choice(paths) if paths else None

    def _files(self, *, is_link_welcome: bool = False) -> list[str]:
        found = []
        for folder, folders, names in os.walk(self._root / self._top):
            for name in (*names, *(folders if is_link_welcome else ())):
                path = Path(folder, name)
                if (path.is_symlink() and is_link_welcome) or (
                    path.is_file() and not path.is_symlink()
                ):
                    found.append(path.relative_to(self._root).as_posix())
        return sorted(path for path in found if ".aeorsync-tmp-" not in path)

    def _folders(self) -> list[str]:
        top = self._root / self._top
        found = [Path(folder) for folder, _, _ in os.walk(top)]
        return sorted(path.relative_to(self._root).as_posix() for path in found if path != top)

    def _new_file(self, body: bytes) -> Path:
        new = self._aside / f"new{next(_numbers)}"
        new.write_bytes(body)
        if self._random.random() < 0.1:
            new.chmod(0o755)
        return new

    def _body(self, least: int = 0) -> bytes:
        """A content that nobody wrote before."""
        size = max(least, int(40 * 5000 ** self._random.random()))
        head = f"{self._root.name} {next(_numbers)} {self._random.getrandbits(64):x}\n".encode()
        return (head + self._random.randbytes(size))[: max(size, len(head))]


def _is_copy(path: str) -> bool:
    return looks_like_copy(path.rpartition("/")[2])


def _all(thing: Path, path: str) -> dict[str, str]:
    """Contents of a file, a link, or everything in a folder, by the paths they had at ``path``."""
    leaf = leaf_at(thing)
    if leaf is not None and leaf.content:
        return {path: leaf.content}
    return {f"{path}/{at}": leaf.content for at, leaf in walk(thing).items() if leaf.content}


def make_repository(folder: Path, source: random.Random) -> list[str]:
    """Make a git repository of our own source with some branches; return their names."""
    folder.mkdir(parents=True)
    files = [path for path in sorted(SOURCE.rglob("*.py")) if "__pycache__" not in path.parts]

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)

    git("init", "-q", "-b", "b0")
    git("config", "user.email", "ada@example.org")
    git("config", "user.name", "Ada")
    git("config", "gc.auto", "0")
    for path in files:
        target = folder / path.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    git("add", "-A")
    git("commit", "-qm", "first")
    for number in (1, 2):
        git("checkout", "-qb", f"b{number}", "b0")
        for path in source.sample(files, 25):
            target = folder / path.relative_to(SOURCE)
            target.write_text(f"{target.read_text()}# {source.random()}\n")
        git("mv", "core" if number == 1 else "wire", f"renamed{number}")
        git("rm", "-rqf", "storage" if number == 1 else "cluster")
        git("add", "-A")
        git("commit", "-qm", f"branch {number}")
    return ["b0", "b1", "b2"]


def checkout(folder: Path, branch: str) -> None:
    """Go to another branch."""
    subprocess.run(["git", "-C", folder, "checkout", "-qf", branch], check=True)


def make_archive(file: Path, source: random.Random) -> None:
    """Make an archive with small and big files, links, bits and empty folders."""
    inside = file.with_suffix(".d")
    inside.mkdir()
    for number in range(300):
        path = inside / f"d{number % 17}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.randbytes(int(10 * 3000 ** source.random())))
        if number % 5 == 0:
            path.chmod(0o755)
        if number % 7 == 0:
            path.with_suffix(".link").symlink_to(path.name)
    (inside / "big").write_bytes(source.randbytes(5 << 20))
    (inside / "empty" / "inner").mkdir(parents=True)
    with tarfile.open(file, "w:gz") as archive:
        archive.add(inside, ".")


def unpack(file: Path, folder: Path) -> None:
    """Do what `tar x` does."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "xf", file, "-C", folder], check=True)


__all__ = ["Editor", "checkout", "link_name", "make_archive", "make_repository", "unpack"]
