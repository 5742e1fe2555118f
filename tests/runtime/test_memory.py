"""How much the C library holds is a matter of a whole process, so each of these is one."""

import subprocess
import sys

import pytest

LOAD = """
import re, sqlite3, sys, threading
from aeorsync.runtime import memory
if sys.argv[1] == "shared":
    assert memory.share_arenas()
barrier = threading.Barrier(8)
def work():
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.execute("create table t (a)")
    db.executemany("insert into t values (?)", [(b"x" * 500,)] * 1000)
    held.append(db)
    barrier.wait()
held = []
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if " 00:00 0 " in line]
print(sum(start % (64 << 20) == 0 for start in starts))
"""


def arenas(how: str) -> int:
    found = subprocess.run(
        [sys.executable, "-c", LOAD, how], check=True, capture_output=True, text=True, timeout=60
    )
    return int(found.stdout)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the map of a process is in /proc on Linux only"
)
def test_threads_share_what_the_c_library_holds() -> None:
    assert arenas("each its own") >= 4  # else this test would show nothing
    assert arenas("shared") <= 2


BUFFERS = """
import resource, sys
from aeorsync.runtime import memory
if sys.argv[1] == "spare":
    assert memory.keep_spare()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    held = [b"x" * (2 << 20) for _ in range(4)]
    held.clear()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(how: str) -> int:
    found = subprocess.run(
        [sys.executable, "-c", BUFFERS, how],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return int(found.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are counted so on Linux")
def test_buffers_that_come_and_go_are_not_fetched_from_the_system_each_time() -> None:
    assert pages("none") > 20_000  # else this test would show nothing
    assert pages("spare") < 5_000


HELD = """
import gc, sys, weakref
from aeorsync.runtime import memory
memory.share_arenas(), memory.keep_spare(), memory.search_seldom()
class Cycle: pass
one = Cycle(); one.self = one; seen = weakref.ref(one)
held = [b"x" * 100_000 for _ in range(300)]
gc.collect()  # old by now
last = b"x" * 100_000  # what lies below it the C library cannot let go of
del one
held.clear()
if sys.argv[1] == "given back":
    memory.give_back()
    assert seen() is None
print(next(int(line.split()[1]) for line in open("/proc/self/status") if "VmRSS" in line) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is told so on Linux")
def test_what_is_held_in_vain_is_given_back() -> None:
    def rss(how: str) -> int:
        command = [sys.executable, "-c", HELD, how]
        return int(subprocess.check_output(command, text=True, timeout=60))

    assert rss("given back") < rss("held") - 20
