"""What a folder client tells, in words: one line an event for people, one object for programs.

Names come from disks and servers and may hold anything: nothing in them is markup, and what is
not printable is escaped.
"""

import re
from typing import Any, Final, TypeAlias

import msgspec
from rich.filesize import decimal

from aeorsync.folder import events
from aeorsync.folder.events import Event, Outcome, Side
from aeorsync.runtime.redact import redact

Words: TypeAlias = list[tuple[str, str]]
"""A line in pieces, each with its style; the empty one is none."""

_PLANS: Final = {
    events.Act.UPLOAD: "would upload",
    events.Act.DOWNLOAD: "would download",
    events.Act.DELETE_LOCAL: "would delete here",
    events.Act.DELETE_REMOTE: "would delete there",
    events.Act.CONFLICT: "would be a conflict",
}
_HERE: Final = {Side.LOCAL: "here", Side.REMOTE: "there"}
_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


def line(event: Event) -> Words | None:  # noqa: PLR0911  # one case an event
    """Return what a person reads; None for what is not worth a line."""
    match event:
        case events.Uploaded(path, size):
            return _done("uploaded", path, size)
        case events.Downloaded(path, size):
            return _done("downloaded", path, size)
        case events.Deleted(path, side):
            return _done(f"deleted {_HERE[side]}", path)
        case events.Moved(source, path, side):
            return _done(f"moved {_HERE[side]}", f"{source} -> {path}")
        case events.Planned(path, act, size):
            return _done(_PLANS[act], path, size)
        case events.Settled(path):
            return _done("settled", path)
        case events.Online():
            return [("the server answers again", "green")]
        case _:
            return worth_a_person(event)


def worth_a_person(event: Event) -> Words | None:
    """Return what even those read who want to read little; None for everything else."""
    match event:
        case events.Conflicted(path, copies):
            where = f": see {', '.join(map(redact, copies))}" if copies else ""
            return [("conflict", "yellow"), (f" {redact(path)}{where}", "")]
        case events.Problem(path, why, message):
            what = f"{redact(path)}: " if path else ""
            style = "dim" if why in events.AS_WANTED else "red"
            word = "left alone" if why in events.AS_WANTED else "problem"
            return [(word, style), (f" {what}{redact(message)}", "")]
        case events.Offline(reason, retry_in_s):
            again = f"; trying again in {retry_in_s:.0f} s"
            return [("offline", "yellow"), (f" {redact(reason)}{again}", "")]
        case _:
            return None


def summary(outcome: Outcome, conflicts: int) -> Words:
    """Return what a pass came to.

    Args:
        outcome: Of the pass.
        conflicts: All that wait in the folder, also those of earlier passes.
    """
    would = "would be " if outcome.is_dry else ""
    parts = [
        f"{count} {would}{word}"
        for count, word in (
            (outcome.uploaded, "uploaded"),
            (outcome.downloaded, "downloaded"),
            (outcome.deleted_local, "deleted here"),
            (outcome.deleted_remote, "deleted there"),
        )
        if count
    ] or ["nothing to do"]
    text = ", ".join(parts)
    if outcome.moved:
        text += f", {outcome.moved} of them moved"
    sent = outcome.bytes_sent, outcome.bytes_received
    if any(sent):
        text += f"; {decimal(sent[0])} sent, {decimal(sent[1])} received"
    words = [(f"{text} ({outcome.seconds:.1f} s)", "")]
    for count, noun, style in (
        (conflicts, "conflict", "yellow"),
        (len(outcome.failures), "problem", "red"),
    ):
        if count:
            words += [("; ", ""), (f"{count} {noun}{'s' * (count != 1)}", style)]
    return words


def facts(event: Event) -> dict[str, Any]:
    """Return an event as an object of JSON: its name, then its fields."""
    told: dict[str, Any] = msgspec.to_builtins(event)
    return {"event": _WORD_START.sub("-", type(event).__name__).lower(), **told}


def _done(what: str, path: str, size: int = 0) -> Words:
    size_words = [(f" ({decimal(size)})", "dim")] if size else []
    return [(what, "bold"), (f" {redact(path)}", ""), *size_words]
