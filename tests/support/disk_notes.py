"""Taking notes of what is done to one folder, and refusing to have it done."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support import disk_model as model
from tests.support.disk_model import ROOT, Body, Names, Operation, Sort, State, Thing
from tests.support.disk_recording import Mark, Recording, body_of

CACHES = ("-shm",)
"""Ends of names of files that a crash may leave in any state, and nobody minds."""


class Notes:
    """See `disk.RecordedDisk`.

    Attributes:
        folder: Of which notes are taken.
        recording: What was done so far.
        real: The calls of `os` as they are.
        refuses: Is asked before each operation, with its number from 0 and what it is called,
            and may raise OSError.
    """

    def __init__(self, folder: Path) -> None:
        """Watch a folder that is there, and nothing else."""
        self.folder = folder.absolute()
        self.refuses: Callable[[int, str], None] = lambda _number, _call: None
        self.lock = threading.RLock()
        self._open = os.open
        self._numbers: dict[tuple[int, int], int] = {}
        self._count = 0
        self.real: dict[str, Any] = {}
        # Held open, so that no inode is ever used again.
        self._held: list[int] = []
        self.recording = Recording(State(), [])
        self._new(self.folder.stat(), Sort.FOLDER, "", self.folder)
        self._look_around(ROOT, self.folder)

    def mark(self, value: Any, *, is_promised: bool = True) -> None:
        """Note something about what has been done by now."""
        with self.lock:
            at = len(self.recording.operations)
            self.recording.marks.append(Mark(at, value, is_promised))

    def found(self) -> State:
        """What is really there, caches left out, in the numbers of the recording."""
        state = State()
        for parent, folders, files in os.walk(self.folder):
            number = self._numbers[_key(Path(parent).lstat())]
            for name in folders + files:
                if name.endswith(CACHES):
                    continue
                found = Path(parent, name).lstat()
                thing = self._numbers[_key(found)]
                state.names[number, name] = thing
                if not stat.S_ISDIR(found.st_mode):
                    state.bodies[thing] = body_of(Path(parent, name), found)
        return state

    # What is done, and noted

    def creates(self, path: str, act: Callable[[], int]) -> int:
        """See `disk_sqlite.Watcher`."""
        return int(self.making("open", path, None, Sort.FILE, act))

    def writes(self, path: str, at: int, data: bytes, act: Callable[[], int]) -> int:
        """See `disk_sqlite.Watcher`."""
        with self.lock:
            number = self.at(path)
            if number is None:
                return act()
            self.ask("write")
            code = act()
            if code == 0:
                self.note(model.Write(number, at, data, Path(path).lstat().st_mtime_ns))
            return code

    def cuts(self, path: str, size: int, act: Callable[[], int]) -> int:
        """See `disk_sqlite.Watcher`."""
        with self.lock:
            number = self.at(path)
            if number is None:
                return act()
            self.ask("cut")
            code = act()
            if code == 0:
                self.note(model.Cut(number, size, Path(path).lstat().st_mtime_ns))
            return code

    def syncs(self, path: str, *, may_fail: bool = True) -> None:
        """See `disk_sqlite.Watcher`."""
        with self.lock:
            number = self.at(path)
            if number is not None:
                if may_fail:
                    self.ask("sync")
                self.note(model.Sync(number))

    def deletes(self, path: str, act: Callable[[], int]) -> int:
        """See `disk_sqlite.Watcher`."""
        return int(self.naming("unlink", act, (self.name(path, None), None)))

    # Below: how it is noted

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call `os` itself."""
        return self.real[name](*args, **options)

    def ask(self, call: str) -> None:
        """Count an operation, and refuse it if that is wanted."""
        number, self._count = self._count, self._count + 1
        self.refuses(number, call)

    def note(self, operation: Operation) -> None:
        """Note what was done."""
        self.recording.operations.append(operation)
        things: list[int | None] = []
        match operation:
            case Names(now):
                things += [thing for _, thing in now]
            case (
                model.Write(number) | model.Cut(number) | model.Mode(number) | model.Times(number)
            ):
                things.append(number)
            case _:
                pass
        at = len(self.recording.operations)
        for thing in things:
            if thing is not None:
                changed = os.fstat(self._held[thing]).st_ctime_ns
                self.recording.ctimes.append((at, thing, changed))

    def making(
        self, call: str, path: Any, dir_fd: int | None, sort: Sort, act: Callable[[], Any]
    ) -> Any:
        """Have something made, by its name."""
        with self.lock:
            folder, name = self.name(path, dir_fd)
            if folder is None or name.endswith(CACHES) or self.at(path, dir_fd) is not None:
                return act()
            self.ask(call)
            made = act()
            with suppress(FileNotFoundError):
                found = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
                target = os.readlink(path, dir_fd=dir_fd) if sort is Sort.SYMLINK else ""
                number = self._new(found, sort, target, path, dir_fd)
                mode = stat.S_IMODE(found.st_mode)
                self.recording.base.bodies[number] = Body(mode=mode, mtime_ns=found.st_mtime_ns)
                self.note(Names((((folder, name), number),)))
            return made

    def gone(self, call: str, path: Any, dir_fd: int | None) -> None:
        """Have a name removed."""
        self.naming(
            call,
            lambda: self.call(call, path, dir_fd=dir_fd),
            (self.name(path, dir_fd), None),
        )

    def moved(
        self, call: str, src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None
    ) -> None:
        """Have something renamed by `os`."""
        folders = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}
        self.move(
            call,
            lambda: self.call(call, src, dst, **folders),
            (src, src_dir_fd),
            (dst, dst_dir_fd),
        )

    def move(
        self,
        call: str,
        act: Callable[[], Any],
        source: tuple[Any, int | None],
        target: tuple[Any, int | None],
        *,
        swaps: bool = False,
    ) -> None:
        """Have something renamed, or two names swapped."""
        with self.lock:
            here, there = self.at(*source), self.at(*target)
            now = (self.name(*target), here), (self.name(*source), there if swaps else None)
            if here is not None and here == there:
                act()
                return
            self.naming(call, act, *now)

    def naming(
        self,
        call: str,
        act: Callable[[], Any],
        *now: tuple[tuple[int | None, str], int | None],
    ) -> Any:
        """Have names changed: each with what it stands for then."""
        with self.lock:
            known = [
                ((folder, name), thing) for (folder, name), thing in now if folder is not None
            ]
            known = [one for one in known if not one[0][1].endswith(CACHES)]
            if known:
                assert len(known) == len(now), "nothing is moved into or out of a recorded folder"
                self.ask(call)
            result = act()
            if known and not result:
                self.note(Names(tuple(known)))
            return result

    def inside(
        self,
        call: str,
        handle: int,
        act: Callable[[], None],
        make: Callable[[int, os.stat_result], Operation],
    ) -> None:
        """Have something changed inside of an open file."""
        with self.lock:
            number = self.of(handle)
            if number is not None:
                self.ask(call)
            act()
            if number is not None:
                self.note(make(number, os.fstat(handle)))

    def written(
        self,
        number: int,
        handle: int,
        at: int,
        views: list[memoryview],
        act: Callable[[], int],
    ) -> int:
        """Have bytes written; all that were taken are noted."""
        try:
            self.ask("write")
        except OSError as error:
            half = b"".join(views)[: sum(map(len, views)) // 2]
            if error.errno != errno.ENOSPC or not half:
                raise
            # The last room is taken.
            self.real["pwrite"](handle, half, at)
            self.note(model.Write(number, at, half, os.fstat(handle).st_mtime_ns))
            raise
        done = act()
        data = b"".join(views)[:done]
        self.note(model.Write(number, at, data, os.fstat(handle).st_mtime_ns))
        return done

    def synced(self, call: str, handle: int, *, is_full: bool) -> None:
        """Have an open file or folder synced, which is left out."""
        with self.lock:
            number = self.of(handle)
            if number is None:
                self.call(call, handle)
                return
            self.ask(call)
            self.note(model.Sync(number, is_full))

    # Below: what is called how

    def name(self, path: Any, dir_fd: int | None) -> tuple[int | None, str]:
        """The folder and the name in it, of a path; the folder is None if it is not ours."""
        parent, name = os.path.split(os.fsdecode(path).rstrip("/"))
        try:
            found = os.stat(parent or ".", dir_fd=dir_fd)
        except OSError:
            return None, name
        return self._numbers.get(_key(found)), name

    def at(self, path: Any, dir_fd: int | None = None) -> int | None:
        """What is at a path, if it is ours."""
        try:
            found = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        except OSError:
            return None
        return self._numbers.get(_key(found))

    def of(self, handle: int) -> int | None:
        """What an open file is, if it is ours."""
        return self._numbers.get(_key(os.fstat(handle)))

    def _new(
        self,
        found: os.stat_result,
        sort: Sort,
        target: str,
        path: Any,
        dir_fd: int | None = None,
    ) -> int:
        number = len(self.recording.things)
        self.recording.things.append(Thing(number, sort, found.st_ino, target))
        self.recording.ctimes.append((0, number, found.st_ctime_ns))
        self._numbers[_key(found)] = number
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        self._held.append(self._open(path, flags, dir_fd=dir_fd))
        return number

    def _let_go(self) -> None:
        for handle in self._held:
            os.close(handle)
        self._held.clear()

    def _look_around(self, parent: int, folder: Path) -> None:
        """Take what is there before as durable."""
        for path in sorted(folder.iterdir()):
            if path.name.endswith(CACHES):
                continue
            found = path.lstat()
            number = self._numbers.get(_key(found))
            if number is None:
                sort = Sort.FOLDER if path.is_dir() and not path.is_symlink() else Sort.FILE
                target = str(path.readlink()) if path.is_symlink() else ""
                number = self._new(found, Sort.SYMLINK if target else sort, target, path)
                self.recording.base.bodies[number] = body_of(path, found)
            self.recording.base.names[parent, path.name] = number
            if stat.S_ISDIR(found.st_mode):
                self._look_around(number, path)


def _key(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
