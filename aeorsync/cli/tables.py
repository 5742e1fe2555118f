"""Tables of peers and cycles, for people."""

from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from aeorsync.runtime.clock import SystemClock

_COLOURS: Final = {"active": "green", "honeymoon": "yellow", "disconnected": "red"}
_ALSO_SYNCED: Final = ("last_push_at", "last_offer_at")
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def peers_table(peers: list[dict[str, Any]]) -> Table:
    """Peers with their states, as ``GET /sync/peers`` tells them."""
    table = _table("PEER", "STATE", "SYNCED", "CLOCK", "NOTES")
    for peer in peers:
        state = "paused" if not peer.get("enabled", True) else str(peer["state"])
        names = [peer["label"], peer["address"], peer["node_id"]]
        name = Text("\n".join(str(text) for text in names if text))
        name.stylize("bold", 0, len(str(peer["label"] or peer["address"])))
        table.add_row(
            name,
            Text(state, _COLOURS.get(state, "dim")),
            ago(max(peer["last_sync_at"] or 0, *(peer.get(field) or 0 for field in _ALSO_SYNCED))),
            _clock(peer),
            Text("\n".join(_notes(peer))),
        )
    return table


def cycles_table(report: dict[str, Any], direction: str) -> Table:
    """Cycles that somebody asked for, as ``POST /sync/trigger`` tells them."""
    table = _table("NODE ID", "RESULT", "CHANGED", "CONFLICTS", "WHY")
    for result in report["results"]:
        is_ok = result["ok"]
        table.add_row(
            str(result["node_id"]),
            Text(f"{direction}ed" if is_ok else "failed", "green" if is_ok else "red"),
            str(result.get("operations_applied", "-")),
            str(result.get("conflicts_detected", "-")),
            Text(result.get("error") or ""),
        )
    for skipped in report["skipped"]:
        word = Text("skipped", "yellow")
        why = Text(f"{skipped['state']}: {skipped['reason']}")
        table.add_row(str(skipped["node_id"]), word, "-", "-", why)
    return table


def ago(ms: int) -> str:
    """How long ago a moment was; 0 for never."""
    if not ms:
        return "never"
    seconds = max(0, SystemClock().now_ms() - ms) // 1000
    for word, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {word} ago"
    return f"{seconds} s ago"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for column in columns:
        # What a person may want to copy stays in one piece, as long as there is room.
        is_loose = column in {"NOTES", "WHY"}
        table.add_column(column, overflow="fold", no_wrap=not is_loose)
    return table


def _clock(peer: dict[str, Any]) -> str:
    offset, trip = peer["clock_offset_ms"], peer["round_trip_ms"]
    return "" if offset is None else f"{round(offset):+d} ms\n{trip:.1f} ms away"


def _notes(peer: dict[str, Any]) -> list[str]:
    """Why it is not as it should be, and what was set."""
    errors = (peer["reason"], peer["sync_status"]["last_error"], peer.get("push_error"))
    notes = list(dict.fromkeys(text for text in errors if text))
    if peer.get("last_offer_at") and peer["state"] != "active":
        notes.append(f"it pushes to this node, last {ago(peer['last_offer_at'])}")
    if peer.get("direction", "both") != "both":
        notes.append(f"only {peer['direction']}")
    if peer["sync_paths"]:
        notes.append("only " + ", ".join(peer["sync_paths"]))
    if peer.get("excludes"):
        notes.append("without " + ", ".join(peer["excludes"]))
    if peer.get("bandwidth_limit"):
        notes.append(f"at most {peer['bandwidth_limit']} KB/s")
    return notes
