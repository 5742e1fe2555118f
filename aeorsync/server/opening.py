"""Opens the data folder: the store, the keys, and first of all the cluster, if one is joined."""

import contextlib
from dataclasses import dataclass

from blake3 import blake3

from aeorsync.api.gate import Gate
from aeorsync.cluster.join import Dial, Joining, join
from aeorsync.config import AuthMode, Settings
from aeorsync.core.tokens import SigningKey
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import SystemClock
from aeorsync.server.addresses import own_url
from aeorsync.storage.accounts import Accounts, new_root_key
from aeorsync.storage.folder import (
    DataFolder,
    GrantedJoin,
    Identity,
    read_identity,
    write_identity,
)
from aeorsync.storage.identities import new_node_id
from aeorsync.storage.opening import open_repository
from aeorsync.storage.repository import Repository

_NOTED = ("signing key", "fingerprint")
"""The note that says that there is one."""


@dataclass(frozen=True, slots=True)
class Data:
    """What the data folder gave us."""

    repository: Repository
    accounts: Accounts
    key: SigningKey
    new_root_key: str | None
    joined: str | None


async def open_data(
    settings: Settings, folder: DataFolder, gate: Gate, port: int, dial: Dial
) -> Data:
    """Open the data folder, joining a cluster first if that was asked for.

    Args:
        settings: How.
        folder: Where.
        gate: Is told how far it is.
        port: Where this node listens.
        dial: Makes the way to the node that is to be joined.

    Raises:
        StartupError: It cannot be opened, or the cluster refused; nothing half-made is left.
    """
    identity, identity_key = await bridge.run(_identity, settings)
    if folder.is_new:
        node_id = new_node_id()
        granted = await _ask_to_join(settings, gate, node_id, port, dial)
        was_there = folder.path.exists()
        folder.make()
        try:
            repository = await bridge.run(open_repository, folder, node_id)
        except BaseException:
            if not was_there:
                with contextlib.suppress(OSError):
                    folder.path.rmdir()
            raise
    else:
        gate.report("opening", "The data folder is being opened.", 0.1)
        # The id counts only if a first start was cut short before it noted its own.
        repository = await bridge.run(open_repository, folder, new_node_id())
        granted = None
        if settings.join and not _has_joined(folder, repository, settings.join):
            granted = await _ask_to_join(settings, gate, repository.head.node, port, dial)
    if granted is not None:
        await bridge.run(folder.grant, granted)
    return await bridge.run(_load_keys, settings, folder, repository, identity, identity_key)


def _identity(settings: Settings) -> tuple[Identity | None, str | None]:
    """The keys of the identity file, if one is asked for; and its root key when it is new."""
    path = settings.identity_file
    if path is None:
        return None, None
    identity = read_identity(path)
    if identity is not None:
        return identity, None
    text, record = new_root_key(SystemClock().now_ms())
    identity = Identity(DataFolder(path.parent).fresh_key().to_text(), record)
    write_identity(path, identity)
    return identity, text


def _load_keys(
    settings: Settings,
    folder: DataFolder,
    repository: Repository,
    identity: Identity | None,
    identity_key: str | None,
) -> Data:
    granted = folder.granted()
    joined = None if granted is None else granted.address
    if granted is not None:
        folder.save_signing_key(SigningKey.from_text(granted.signing_key))
    if identity is not None:
        key = SigningKey.from_text(identity.signing_key)
        accounts = Accounts(repository, (identity.root_key,))
        return Data(repository, accounts, key, identity_key, joined)
    key = kept_or_new(folder, repository)
    accounts = Accounts(repository)
    # The keys of an AeorDB node do not come with what it has, so we need one of our own.
    has_cluster = bool(repository.notes("joined"))
    if granted is not None:
        has_cluster = not granted.is_foreign
    text = None
    if settings.auth == AuthMode.SELF and not has_cluster and not accounts.has_keys():
        text, record = new_root_key(SystemClock().now_ms())
        accounts.save(record).result()
    return Data(repository, accounts, key, text, joined)


async def _ask_to_join(
    settings: Settings, gate: Gate, node_id: int, port: int, dial: Dial
) -> GrantedJoin | None:
    if settings.join is None or settings.join_token is None:
        return None
    gate.report("joining", f"Asking {settings.join} for admission.", 0.1)
    joining = Joining(node_id, own_url(settings, port))
    result = await join(settings.join, settings.join_token, joining, dial)
    return GrantedJoin(
        settings.join,
        result.responding_node_id,
        result.signing_key.to_text(),
        result.is_foreign,
    )


def kept_or_new(folder: DataFolder, repository: Repository) -> SigningKey:
    """The signing key of the folder; a new one only where there never was any.

    Raises:
        StartupError: There was one, and it is gone or damaged.
    """
    noted = repository.note(*_NOTED)
    if noted is not None and not folder.has_key:
        raise folder.missing_key()
    key = folder.signing_key()
    if noted != fingerprint(key):
        repository.set_note(*_NOTED, fingerprint(key))
    return key


def _has_joined(folder: DataFolder, repository: Repository, address: str) -> bool:
    """Whether we are in the cluster of this address already, so that asking again is needless."""
    granted = folder.granted()
    if granted is not None:
        return granted.address == address
    if not folder.has_key:
        return False
    return repository.note("joined", address) == fingerprint(folder.kept_key())


def fingerprint(key: SigningKey) -> bytes:
    """Tells signing keys apart without giving them away."""
    return blake3(key.seed, derive_key_context="aeorsync 2026 key fingerprint").digest()
