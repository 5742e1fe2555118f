"""The hash that names a file or a symlink on the wire, with its path and all."""

from aeorsync.core.hashing import file_identity, symlink_identity
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import HASH_SIZE, REF_SIZE, Kind, Version


def identity_of(path: TreePath, version: Version) -> str:
    """The hash that names a file or symlink on the wire; empty for a folder."""
    if version.kind == Kind.SYMLINK:
        return symlink_identity(path, version.target).hex()
    if version.kind == Kind.DIRECTORY:
        return ""
    refs = version.content.refs
    ids = b"".join(refs[at : at + HASH_SIZE] for at in range(0, len(refs), REF_SIZE))
    return file_identity(path, version.content_type, ids).hex()
