"""Every parser of the package is in the table that is fuzzed; a new one has to be added there.

A parser is known by its name (`parse`, `parse_x`, `from_json`, ...) or by what it calls: a decoder
of msgspec, JSON, TOML, hex, base64 or structs. What is left out says why.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.parser_table import PARSERS

PACKAGE = Path(__file__).parents[2] / "aeorsync"
NAME = re.compile(
    r"_?(parse|decode|from_json|from_text|unseal|unpack|expand|merge_patch)(_|$)|feed$"
)
CALLS = re.compile(
    r"(msgspec\.(json|msgpack)\.decode|json\.loads|tomllib\.loads?|\.unpack_from|\.unpack"
    r"|bytes\.fromhex|b64decode|_decoder?\w*\.decode|_DECODER\.decode|_decode\w*)$"
)
# Its own bytes, which nobody else could have changed, or no bytes at all.
OWN = {
    "core.access:_Rule.parse": "part of `Rules.parse`",
    "core.globs:_expand": "part of `Glob.parse`",
    "folder.fetching:unpack": "hands zstd to `expand`, and compares the hash",
    "storage.content:Reader._unpack": "hands zstd to `expand`, and compares the hash",
    "storage.registers:_Record.from_json": "what records promise; each has its own",
    "wire.framing:Decoder._head": "part of `Decoder.feed`",
    "api.places:_decode": "what it opened was sealed by a node of the cluster",
    "core.chunking:Chunker.feed": "bytes of a file, which nobody reads",
    "core.versions:decode_entry": "what this node stored itself",
    "core.mergepatch:_merge": "part of `merge_patch`",
    "core.pointers:_step": "part of `resolve_pointer`",
    "folder.root:RootId.parse": "a note of our own ledger",
    "folder.unsure:forget": "a note of our own ledger",
    "storage.content:Upload.feed": "bytes of a file, which nobody reads",
    "storage.restoring:_parse": "what this node stored itself",
    "storage.compression:unpack": "hands zstd to `expand`, and compares the hash",
    "wire.encoding:Squeezer.feed": "makes, reads nothing",
}
# Folders and modules that read only what this node or this machine wrote.
TRUSTED = {
    "api.jobs", "api.chunks", "api.tasks", "api.diff", "api.lenses", "cluster.peers",
    "storage.taskbook", "storage.identities", "storage.embedded", "storage.knowledge",
    "storage.foreign", "storage.exporting", "storage.folder", "storage.damage", "storage.brought",
    "storage.packs", "storage.members", "storage.lifecycle", "folder.places", "folder.session",
    "folder.facts", "runtime.inotify", "core.marks", "cli.sync_status", "folder.told",
    "folder.ledger_rows", "core.apikeys", "storage.version_records", "storage.versions",
}  # fmt: skip
# One decoder each, in a class that talks to a server; the shapes are those of the table.
ANSWERS = {
    "client.calling", "client.listening", "client.reading", "client.syncing", "client.writing",
    "remote.calls", "remote.operator", "remote.connection", "remote.asking", "cluster.offers",
}  # fmt: skip


def functions() -> Iterator[tuple[str, str, ast.AST]]:
    """Every function of the package: its module, its name, itself."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text()))]
        while found:
            prefix, node = found.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.ClassDef):
                    found.append((f"{prefix}{child.name}.", child))
                elif isinstance(child, ast.FunctionDef):
                    yield module, prefix + child.name, child


def calls(function: ast.AST) -> bool:
    """Whether a function decodes something itself."""
    return any(
        isinstance(node, ast.Call) and CALLS.search(ast.unparse(node.func))
        for node in ast.walk(function)
    )


def parsers() -> set[str]:
    """What looks like a parser."""
    found = set()
    for module, name, function in functions():
        last = name.rpartition(".")[2]
        is_named = NAME.match(last) and not last.startswith("parse_known")
        reads = calls(function) and module not in TRUSTED | ANSWERS
        if is_named or reads:
            found.add(f"{module}:{name}")
    return found


def covered() -> set[str]:
    return {name for parser in PARSERS for name in parser.covers}


def test_every_parser_is_fuzzed_or_says_why_not() -> None:
    assert sorted(parsers() - covered() - OWN.keys()) == []


def test_the_table_names_functions_that_exist() -> None:
    known = {f"{module}:{name}" for module, name, _ in functions()}
    assert sorted(covered() - known) == []
    assert sorted(name for name in OWN if ":" in name and name not in known) == []


def test_each_parser_has_a_name_of_its_own() -> None:
    names = [parser.name for parser in PARSERS]
    assert len(set(names)) == len(names)
