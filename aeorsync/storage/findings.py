"""What looking at a whole store found: see `storage.verify`."""

from dataclasses import dataclass, field

import msgspec

CURRENT = "current"
DELETED = "deleted"
MAX_FINDINGS = 10_000
"""Findings that are told in full; the others are counted."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it must be.

    Attributes:
        kind: ``file``, ``entry``, ``node``, ``chunk``, ``snapshot``, ``feed``, ``conflict`` or
            ``database``.
        path: Where; None when it belongs to no path.
        text: What, in one sentence.
        tree: `CURRENT`, `DELETED`, or which kept tree (``snapshot monday``).
    """

    kind: str
    path: str | None
    text: str
    tree: str = CURRENT


@dataclass(slots=True)
class Verified:
    """What was looked at, and what was found.

    Attributes:
        chunks: Chunks that were read.
        chunk_bytes: Stored bytes of them.
        nodes: Tree nodes.
        entries: Entries, of all trees; those that snapshots share count once.
        files: Files that were read through.
        findings: The first `MAX_FINDINGS`, those of the current tree first.
        count: All findings that are left after the repair.
        quarantined: Damaged chunks that are not held any more.
        recovered: Chunks that were found again in the packs.
        awaited: Kept trees (``snapshot monday``) that were made elsewhere and are not here whole
            yet: peers have the rest.
    """

    chunks: int = 0
    chunk_bytes: int = 0
    nodes: int = 0
    entries: int = 0
    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    count: int = 0
    quarantined: int = 0
    recovered: int = 0
    awaited: list[str] = field(default_factory=list)

    def add(self, kind: str, path: str | None, text: str, tree: str = CURRENT) -> None:
        """Note a finding."""
        self.count += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(kind, path, text, tree))
