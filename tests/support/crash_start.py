"""Stories of the small files: first start, joining, an identity file, a login, notes of folders.

After a cut at any operation the node starts by itself. What it had told somebody holds: its id,
the key that tokens are signed with, the root key that was shown, and that it was let into a
cluster; before that it may begin afresh, but for good.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from aeorsync.api.gate import Gate
from aeorsync.config import AuthMode, Settings
from aeorsync.config.profiles import Profile, Profiles
from aeorsync.core.tokens import SigningKey
from aeorsync.folder.places import Note, Place
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection, Mint
from aeorsync.runtime.clock import SystemClock
from aeorsync.server.opening import Data, fingerprint, open_data
from aeorsync.storage.folder import DataFolder
from aeorsync.wire.links import JoinReply
from tests.support.crashes import Moment
from tests.support.disk import RecordedDisk
from tests.support.loops import run
from tests.support.peer import answer

_CLUSTER = SigningKey(bytes(range(32)))
_MEMBER = "http://member:6830"


@dataclass(frozen=True)
class Told:
    """What somebody outside of the node was told.

    Attributes:
        node: Its id.
        key: What tokens are signed with.
        root: The root key that was shown.
        is_joined: Whether it is in the cluster, and done with joining.
    """

    node: int
    key: str
    root: str | None
    is_joined: bool


def _dial(address: str, mint: Mint | None) -> Remote:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("clock"):
            raise httpx.ConnectError("gone")
        return answer(200, msgspec.json.encode(JoinReply(_CLUSTER.to_text(), 5, 7)))

    return Remote(Connection(address, mint, httpx.MockTransport(reply)))


@dataclass(frozen=True)
class StartStory:
    """A node starts for the first time, and once more.

    Attributes:
        has_file: Whether keys are in an identity file.
        joins: Whether it joins a cluster.
    """

    name: str
    has_file: bool = False
    joins: bool = False

    def prepare(self, folder: Path) -> None:
        """See `crashes.Story`."""

    def play(self, disk: RecordedDisk) -> None:
        """See `crashes.Story`."""
        root = None
        for _ in range(2):
            data = self._open(disk.folder)
            root = root or data.new_root_key
            disk.mark(self._told(data, root, disk.folder))
            self._finish(data, disk.folder)
            disk.mark(self._told(data, root, disk.folder))
            data.repository.close()

    def judge(self, moment: Moment) -> None:
        """See `crashes.Story`."""
        data = self._open(moment.folder)
        promised = moment.past[-1] if moment.past else None
        root = promised.root if promised else data.new_root_key
        first = self._told(data, root, moment.folder)
        assert not promised or first in moment.allowed, (first, moment.allowed)
        self._demand_root(data, root)
        self._finish(data, moment.folder)
        data.repository.close()
        again = self._open(moment.folder)
        second = self._told(again, root, moment.folder)
        again.repository.close()
        assert (second.node, second.key) == (first.node, first.key)
        assert second.is_joined == self.joins
        names = {path.name for path in (moment.folder / "data").iterdir()}
        kept = {"lock", "packs", "meta.sqlite3", "meta.sqlite3-shm", "meta.sqlite3-wal"}
        assert {name for name in names if not name.endswith(".tmp")} <= {*kept, "signing.key"}

    def _demand_root(self, data: Data, root: str | None) -> None:
        if root is not None:
            record = data.accounts.find(root)
            assert record is not None
            assert record.usable(SystemClock().now_ms())

    def _open(self, base: Path) -> Data:
        settings = Settings(
            data=base / "data",
            auth=AuthMode.FILE if self.has_file else AuthMode.SELF,
            identity_file=base / "identity.json" if self.has_file else None,
            host="127.0.0.1",
            port=1,
            advertise_url=None,
            peers=(),
            join=_MEMBER if self.joins else None,
            join_token="e.y.J" if self.joins else None,
            tls_cert=None,
            tls_key=None,
            cluster_ca=None,
            jwt_expiry=3600,
            log_format="json",
            sync_interval=30,
            grave_retention=3600,
        )
        folder = DataFolder(settings.data)
        folder.check()
        return run(open_data(settings, folder, Gate(SystemClock()), 1, _dial))

    def _finish(self, data: Data, base: Path) -> None:
        """Carry out a join that was granted, as the server does."""
        folder = DataFolder(base / "data")
        granted = folder.granted()
        if granted is not None:
            data.repository.set_note("joined", granted.address, fingerprint(data.key))
            folder.forget_grant()

    def _told(self, data: Data, root: str | None, base: Path) -> Told:
        is_joined = data.repository.note("joined", _MEMBER) == fingerprint(data.key)
        is_done = DataFolder(base / "data").granted() is None
        return Told(data.repository.head.node, data.key.to_text(), root, is_joined and is_done)


@dataclass(frozen=True)
class FilesStory:
    """Logins and notes of folders are written, and written anew."""

    name: str = "files of users"

    def prepare(self, folder: Path) -> None:
        """See `crashes.Story`."""

    def play(self, disk: RecordedDisk) -> None:
        """See `crashes.Story`."""
        disk.mark(_seen(disk.folder))
        for number in range(3):
            for act in _acts(disk.folder, number):
                act()
                disk.mark(_seen(disk.folder))

    def judge(self, moment: Moment) -> None:
        """See `crashes.Story`."""
        found = _seen(moment.folder)
        assert found in moment.allowed, (found, moment.allowed)
        for act in _acts(moment.folder, 9):
            act()
        assert _seen(moment.folder)["key"] == "key 9"


def _acts(base: Path, number: int) -> list[Callable[[], object]]:
    place = Place(base / "state/aeorsync/folders/one")

    def login() -> None:
        name = "one" if number != 1 else "two"
        _profiles(base).save(Profile(name, "http://here", f"key {number}", None))

    return [
        login,
        place.make,
        lambda: place.write(Note(local="/l", url="u", path="/", waiting=number)),
    ]


def _profiles(base: Path) -> Profiles:
    return Profiles(base / "config/aeorsync/profiles.json")


def _seen(base: Path) -> dict[str, object]:
    place = Place(base / "state/aeorsync/folders/one")
    kept = {name: _profiles(base).get(name) for name in ("one", "two")}
    latest = kept["one"] or kept["two"]
    return {
        "logins": kept,
        "key": None if latest is None else latest.key,
        "place": place.folder.is_dir(),
        "note": place.read(),
    }


STORIES = (
    StartStory("start"),
    StartStory("identity", has_file=True),
    StartStory("join", joins=True),
    FilesStory(),
)
