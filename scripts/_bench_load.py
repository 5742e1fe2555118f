"""Load: requests per second and how long they take, beside other servers on the same machine.

`wrk` asks from a process of its own, with 32 connections on one thread. Client and server share
the cores, so a fast server is measured with what the client leaves it.
"""

import contextlib
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import _measure
from _bench_fleet import fan_out
from _bench_growth import change, path_of, seed
from _bench_ours import Line
from _bench_record import markdown
from _bench_sums import percentile
from _bench_web import TAGS, Site, others, ours
from _measure import Figures, NodeProcess, WrongError, peak_mib

SECONDS = 5
CONNECTIONS = 32
NAMES = 100_000
BIG = 256 << 20
RANGES = ((64 << 10, "64 KiB"), (1 << 20, "1 MiB"))
LISTINGS = 5
DIFFS = 50

SCRIPT = """
local kind, prefix, key = "%(kind)s", "%(prefix)s", "%(key)s"
local names, span, size = %(names)d, %(span)d, %(size)d
local body = string.rep("x", 1024)
local number = 0
function init(args) math.randomseed(7) end
function request()
  local fields = {}
  if key ~= "" then fields["Authorization"] = "Bearer " .. key end
  if kind == "put" then
    number = number + 1
    fields["Content-Length"] = "1024"
    local tail = string.format("%%08d", number)
    local path = string.format("%%s/put-%(tag)s/%%s", prefix, tail)
    return wrk.format("PUT", path, fields, tail .. string.sub(body, 9))
  elseif kind == "range" then
    local from = math.random(0, size - span)
    fields["Range"] = string.format("bytes=%%d-%%d", from, from + span - 1)
    return wrk.format("GET", prefix .. "/big.bin", fields)
  end
  local path = string.format("%%s/wide/f%%07d", prefix, math.random(0, names - 1))
  return wrk.format("GET", path, fields)
end
function done(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.status + errors.read + errors.write + errors.timeout + errors.connect
  io.stderr:write(string.format(
    '{"requests": %%d, "us": %%d, "bytes": %%d, "bad": %%d, "p50": %%d, "p99": %%d}\\n',
    summary.requests, summary.duration, summary.bytes, bad,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Served:
    """What one server did under load.

    Attributes:
        rate: Requests a second.
        p50: Milliseconds half of them took at most.
        p99: Milliseconds 99 of 100 took at most.
        megabytes: MB a second.
    """

    rate: float
    p50: float
    p99: float
    megabytes: float


def drive(site: Site, kind: str, work: Path, span: int = 1) -> Served:
    """Ask for some seconds.

    Raises:
        WrongError: Requests failed: there is no figure for errors.
    """
    script = work / "load.lua"
    size, names = _measure.scaled(BIG), _measure.scaled(NAMES)
    words = {"kind": kind, "tag": site.tag, "prefix": site.prefix, "key": site.key, "names": names}
    script.write_text(SCRIPT % (words | {"span": min(span, size), "size": size}))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "30s"]
    done = subprocess.run(
        [*command, "-s", str(script), site.url], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stderr.strip().splitlines()[-1])
    if told["bad"] or not told["requests"]:
        raise WrongError(f"{site.name}, {kind}: {told['bad']} of {told['requests']} failed")
    seconds = told["us"] / 1e6
    return Served(
        told["requests"] / seconds,
        told["p50"] / 1000,
        told["p99"] / 1000,
        told["bytes"] / 1e6 / seconds,
    )


def list_names(site: Site) -> float:
    """Milliseconds to get a folder with all its names, the median of some times."""
    took = []
    host = site.url.removeprefix("http://")
    fields = {"Authorization": f"Bearer {site.key}"} if site.key else {}
    for _ in range(LISTINGS):
        connection = http.client.HTTPConnection(host, timeout=300)
        began = time.perf_counter()
        if site.name.endswith("webdav"):
            connection.request("PROPFIND", f"{site.prefix}/wide/", headers={"Depth": "1"})
        else:
            connection.request("GET", f"{site.prefix}/wide/", headers=fields)
        answer = connection.getresponse()
        text = answer.read()
        took.append((time.perf_counter() - began) * 1000)
        connection.close()
        last = b"f%07d" % (_measure.scaled(NAMES) - 1)
        if answer.status >= 300 or last not in text:
            raise WrongError(f"{site.name}: the listing was answered {answer.status}, or is short")
    return statistics.median(took)


class Load:
    """The table, row by row."""

    def __init__(self, figures: Figures, sites: list[Site]) -> None:
        self._figures, self._sites = figures, sites
        self.rows: list[list[str]] = []
        self.notes: list[str] = []

    def drive(self, title: str, kind: str, work: Path, span: int = 1) -> None:
        """One kind of request to all who take it."""
        cells = []
        for site in self._sites:
            if kind == "put" and not site.writes:
                cells.append("-")
                continue
            os.sync()
            try:
                served = drive(site, kind, work, span)
            except WrongError as error:
                self.notes.append(str(error))
                cells.append("failed")
                continue
            name = f"{title}: {site.name}"
            self._figures.add(name, served.rate, "1/s", "", met=True)
            self._figures.add(f"{name}, p50", served.p50, "ms", "", met=True)
            self._figures.add(f"{name}, p99", served.p99, "ms", "", met=True)
            cell = f"{served.rate:,.0f}/s; {served.p50:.2f}, {served.p99:.2f} ms"
            cells.append(f"{served.megabytes:,.0f} MB/s; {cell}" if span > 1 else cell)
        self.rows.append([title, *cells])

    def list_names(self, title: str) -> None:
        """The listing of a large folder."""
        cells = []
        for site in self._sites:
            took = list_names(site)
            self._figures.add(f"{title}: {site.name}", took, "ms", "", met=True)
            cells.append(f"{took:,.0f} ms")
        self.rows.append([title, *cells])

    def table(self) -> str:
        """Requests a second, p50 and p99, by server."""
        return markdown(["", *(site.name for site in self._sites)], self.rows)


def measure_diffs(node: NodeProcess, figures: Figures) -> list[list[str]]:
    """What a client that keeps a copy asks: what changed since."""
    line = Line(node)
    rows = []
    root = line.root()
    for turn, count in enumerate((0, 1, 100)):
        if count:
            change(line, "wide", _measure.scaled(NAMES), min(count, 100), turn)
        body = json.dumps({"since_root_hash": root}).encode()
        took = []
        for _ in range(DIFFS):
            began = time.perf_counter()
            line.ask("POST", "/sync/diff", body)
            took.append((time.perf_counter() - began) * 1000)
        name = f"diff with {count} changes among {_measure.scaled(NAMES):,}"
        middle, worst = statistics.median(took), percentile(took, 0.99)
        figures.add(name, middle, "ms", "", met=True)
        figures.add(f"{name}, p99", worst, "ms", "", met=True)
        rows.append([name, f"{middle:.2f}", f"{worst:.2f}"])
        root = line.root()
    return rows


def measure_events(node: NodeProcess, figures: Figures) -> list[list[str]]:
    """How soon the last stream has an event."""
    rows = []
    for count in (1, 100, 1000):
        _, lasts = fan_out(node, count)
        name = f"commit acknowledged until the last of {count:,} streams has it"
        middle, worst = statistics.median(lasts), percentile(lasts, 0.99)
        figures.add(name, middle, "ms", "", met=True)
        figures.add(f"{name}, p99", worst, "ms", "", met=True)
        rows.append([name, f"{middle:.2f}", f"{worst:.2f}"])
    return rows


def make_site(root: Path, source: Path) -> None:
    """The files that the other servers serve: as many, as large."""
    (root / "wide").mkdir(parents=True)
    body = random.Random(3).randbytes(1024)
    for number in range(_measure.scaled(NAMES)):
        (root / path_of("wide", number).lstrip("/")).write_bytes(body)
    shutil.copy(source, root / "big.bin")
    # Before any server starts: rclone keeps what it once saw of a folder.
    for tag in TAGS:
        (root / f"put-{tag}").mkdir()


def bench_load(folder: Path, figures: Figures) -> None:
    """All kinds of requests, to us and to others."""
    if shutil.which("wrk") is None:
        print("  wrk is not installed: load is not measured", file=sys.stderr)
        figures.tables.append("- wrk is not installed: load is not measured")
        return
    source = folder / "load-big.bin"
    # Bytes of more than 256 MiB at once are too many for one number.
    draw, left = random.Random(5), _measure.scaled(BIG)
    with source.open("wb") as out:
        while left:
            left -= out.write(draw.randbytes(min(left, 1 << 20)))
    make_site(folder / "site", source)
    seed(folder / "load-node", "wide", _measure.scaled(NAMES))
    with contextlib.ExitStack() as stack, NodeProcess(folder / "load-node") as node:
        with source.open("rb") as body:
            connection = http.client.HTTPConnection("127.0.0.1", node.port)
            fields = {"Authorization": f"Bearer {node.key}"}
            connection.request("PUT", "/files/big.bin", body, fields)
            connection.getresponse().read()
        sites, notes = others(stack, folder, folder / "site")
        load = Load(figures, [ours(node), *sites])
        load.drive("GET of 1 KiB, one of 100 000", "get", folder)
        for span, name in RANGES:
            load.drive(f"GET of {name} out of 256 MiB", "range", folder, span)
        load.list_names("a folder with 100 000 names")
        load.drive("PUT of 1 KiB, each a new file", "put", folder)
        rows = [*measure_diffs(node, figures), *measure_events(node, figures)]
        figures.add("peak memory of the node", peak_mib(node), "MiB", "< 300", met=True)
    figures.tables += [load.table(), markdown(["aeorsync", "median ms", "p99 ms"], rows)]
    if notes := [*notes, *load.notes]:
        figures.tables.append("\n".join(f"- {note}" for note in notes))


LOAD_WORKS = {"load": bench_load}
