"""The data folder: whether it can be used, and the secrets in it.

    DATA/signing.key     the cluster's Ed25519 seed, base64, mode 0600
    DATA/join.json       a join that was granted but not yet carried out in full, mode 0600
    DATA/...             the store (`storage.embedded`)

A granted join is written to ``join.json`` in one step before anything else happens, so a crash
at any moment leaves either no trace of it or all that is needed to finish it.
"""

import os
from pathlib import Path

import msgspec

from aeorsync.core.apikeys import KeyRecord
from aeorsync.core.tokens import SigningKey
from aeorsync.errors import AeorError, BadRequestError, StartupError
from aeorsync.runtime import chance
from aeorsync.runtime.durable import sync_folder, write_once
from aeorsync.storage.database import REMEDY
from aeorsync.storage.packs import MAGIC

DATA_LOCKED = 4
DATA_UNUSABLE = 5
CONFIG = 3
_KEY_REMEDY = (
    "nothing was changed. Put it back from a backup, or have it from another node of the cluster:"
    " aeorsync key export there, aeorsync key import here"
)
_OURS = {"lock", "meta.sqlite3", "packs", "signing.key", "join.json"}


class GrantedJoin(msgspec.Struct, frozen=True):
    """What a member of a cluster gave us.

    Attributes:
        address: URL of the member.
        node_id: Its id.
        signing_key: The cluster's seed, base64.
        is_foreign: Whether it is an AeorDB node, whose API keys are no use here.
    """

    address: str
    node_id: int
    signing_key: str
    is_foreign: bool = False


class Identity(msgspec.Struct, frozen=True):
    """Keys that live in a file of the operator's (``--auth file://PATH``)."""

    signing_key: str
    root_key: KeyRecord


class DataFolder:
    """One data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_new(self) -> bool:
        """Whether no node has lived here yet."""
        return not (self.path / "meta.sqlite3").exists()

    def check(self) -> None:
        """See that a node can live here, changing nothing.

        Raises:
            StartupError: It cannot; the text says why and what to do.
        """
        path = self.path
        if not path.exists():
            if not path.parent.is_dir():
                raise _unusable(f"{path.parent} does not exist; make it, or choose another folder")
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise _unusable(f"{path.parent} cannot be written to by this user")
            return
        if not path.is_dir():
            raise _unusable(f"{path} is not a folder; choose another with -D")
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            raise _unusable(f"{path} is on a file system that can only be read")
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise _unusable(f"{path} cannot be written to by this user")
        names = {entry.name for entry in path.iterdir()}
        if names and not names & _OURS:
            raise _unusable(f"{path} holds other files; choose a new or an empty folder with -D")
        self._check_whole()

    def _check_whole(self) -> None:
        """See that the database did not go while the bytes it tells of stayed."""
        database, packs = self.path / "meta.sqlite3", self.path / "packs"
        if database.exists() and database.stat().st_size:
            return
        if any(pack.stat().st_size > len(MAGIC) for pack in packs.glob("*.pack")):
            word = "empty" if database.exists() else "gone"
            raise _unusable(
                f"{database} is {word}, and the files beside it are those of a node; {REMEDY}"
            )

    def make(self) -> None:
        """Make the folder if it is not there.

        Raises:
            StartupError: The disk refused.
        """
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.path.absolute().parent)
        except OSError as error:
            raise _unusable(f"{self.path} cannot be made: {error.strerror}") from error

    def signing_key(self) -> SigningKey:
        """The signing key kept here; made when there is none.

        Raises:
            StartupError: It cannot be read.
        """
        if not self.has_key:
            self.save_signing_key(self.fresh_key())
        return self.kept_key()

    @property
    def has_key(self) -> bool:
        """Whether a signing key is kept here."""
        return (self.path / "signing.key").exists()

    def kept_key(self) -> SigningKey:
        """The signing key kept here; none is made.

        Raises:
            StartupError: There is none, or it cannot be read.
        """
        path = self.path / "signing.key"
        try:
            return SigningKey.from_file(path.read_text("ascii"))
        except OSError as error:
            text = f"{path} cannot be read: {error.strerror}; {_KEY_REMEDY}"
            raise _unusable(text) from error
        except (UnicodeDecodeError, BadRequestError) as error:
            text = f"{path} holds no signing key, or a damaged one; {_KEY_REMEDY}"
            raise _unusable(text) from error

    def missing_key(self) -> StartupError:
        """What is said when the key is gone that this node had."""
        return _unusable(f"{self.path / 'signing.key'} is gone; {_KEY_REMEDY}")

    @staticmethod
    def fresh_key() -> SigningKey:
        """A new random signing key, kept nowhere yet."""
        return SigningKey(chance.token_bytes(32))

    def save_signing_key(self, key: SigningKey) -> None:
        """Replace the signing key; durable on return."""
        write_once(self.path / "signing.key", key.to_file().encode(), mode=0o600)

    def grant(self, join: GrantedJoin) -> None:
        """Keep a granted join until it is carried out; durable on return."""
        write_once(self.path / "join.json", msgspec.json.encode(join), mode=0o600)

    def granted(self) -> GrantedJoin | None:
        """The join that waits to be carried out, if one does.

        Raises:
            StartupError: It cannot be read.
        """
        path = self.path / "join.json"
        try:
            granted = msgspec.json.decode(path.read_bytes(), type=GrantedJoin)
            SigningKey.from_text(granted.signing_key)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, AeorError) as error:
            text = (
                f"{path} cannot be read; nothing was changed. It holds a join that was granted"
                " and not carried out: remove it, and join again with --join and --join-token"
            )
            raise _unusable(text) from error
        return granted

    def forget_grant(self) -> None:
        """Note that the join was carried out; durable on return."""
        (self.path / "join.json").unlink(missing_ok=True)
        sync_folder(self.path)


def read_identity(path: Path) -> Identity | None:
    """The keys in an identity file; None when there is no such file.

    Raises:
        StartupError: The file holds something else.
    """
    if not path.exists():
        return None
    try:
        identity = msgspec.json.decode(path.read_bytes(), type=Identity)
        SigningKey.from_text(identity.signing_key)
    except (OSError, msgspec.MsgspecError, AeorError) as error:
        raise StartupError(f"{path} is not an identity file of aeorsync", CONFIG) from error
    return identity


def write_identity(path: Path, identity: Identity) -> None:
    """Write a new identity file, readable by its owner only.

    Raises:
        StartupError: The disk refused.
    """
    try:
        write_once(path, msgspec.json.format(msgspec.json.encode(identity)), mode=0o600)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}", CONFIG) from error


def _unusable(text: str) -> StartupError:
    return StartupError(text, DATA_UNUSABLE)
