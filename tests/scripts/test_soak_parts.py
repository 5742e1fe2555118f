"""What judges a long run must find what is wrong, and nothing else."""

import json
import math

import pytest

from tests.support.soak_figures import Latencies, Life, slope
from tests.support.soak_oracle import Content, Oracle, Sent, Token
from tests.support.soak_report import as_markdown, as_text
from tests.support.soak_streams import Hearer

PATH = "/load/a"
HERE, THERE = 0, 1


class Judge:
    """An oracle, and what it complained of."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.oracle = Oracle(lambda kind, _where, _what: self.kinds.append(kind))
        self.seeds = 0

    def content(self) -> Content:
        self.seeds += 1
        return Content(self.seeds, 100)

    def begin(self, token: Token | None, *, deletes: bool = False) -> Sent:
        covers = token.covers if token else frozenset()
        return self.oracle.begin(PATH, None if deletes else self.content(), covers, HERE)

    def write(self, token: Token | None = None, *, deletes: bool = False) -> tuple[str, Token]:
        """Write and be told so; returns the hash and the next base."""
        sent = self.begin(token, deletes=deletes)
        after = self.oracle.done(sent, "e", node=HERE)
        assert after is not None
        return sent.write.hash, after

    def judge(self, *seen: str, in_conflict: bool = False) -> list[str]:
        self.oracle.judge(PATH, dict.fromkeys(seen, "node 0"), in_conflict=in_conflict)
        return self.kinds

    def read(self, seen: str | None, node: int = HERE) -> list[str]:
        self.oracle.saw(self.oracle.look(PATH, node), seen)
        return self.kinds


@pytest.fixture
def judge() -> Judge:
    return Judge()


def test_what_was_acknowledged_has_to_be_there(judge: Judge) -> None:
    _, token = judge.write()
    last, _ = judge.write(token)
    assert judge.judge(last) == []
    assert judge.judge() == ["lost write"]


def test_what_was_overwritten_must_not_come_back(judge: Judge) -> None:
    first, token = judge.write()
    last, _ = judge.write(token)
    assert judge.judge(last, first) == ["resurrection"]


def test_what_was_deleted_must_not_come_back(judge: Judge) -> None:
    first, token = judge.write()
    judge.write(token, deletes=True)
    assert judge.judge() == []
    assert judge.judge(first) == ["resurrection"]


def test_bytes_that_nobody_wrote_are_wrong(judge: Judge) -> None:
    last, _ = judge.write()
    assert judge.read("f00") == ["wrong bytes"]
    assert judge.judge(last, "f00") == ["wrong bytes", "wrong bytes"]


def test_two_who_had_not_seen_each_other_both_stay(judge: Judge) -> None:
    _, token = judge.write()
    one, _ = judge.write(token)
    other, _ = judge.write(token)
    assert judge.judge(one, other, in_conflict=True) == []
    assert judge.judge(one, in_conflict=True) == ["lost write"]


def test_a_conflict_without_two_writers_is_false(judge: Judge) -> None:
    _, token = judge.write()
    last, _ = judge.write(token)
    assert judge.judge(last, in_conflict=True) == ["false conflict"]


def test_who_has_seen_both_ends_both(judge: Judge) -> None:
    _, token = judge.write()
    one, _ = judge.write(token)
    other, _ = judge.write(token)
    covers = judge.oracle.numbers_of(PATH, [("v1", one), ("v2", other)])
    last, _ = judge.write(Token("e", covers))
    assert judge.judge(last) == []


def test_a_picked_version_is_not_the_one_it_was_made_from(judge: Judge) -> None:
    first, token = judge.write()
    sent = judge.oracle.begin(PATH, judge.oracle.at(PATH).known()[first].content, token.covers, 0)
    judge.oracle.done(sent, "e", node=HERE)
    judge.oracle.picked(sent, "v2")
    assert judge.oracle.numbers_of(PATH, [("v1", first)]) == token.covers
    assert judge.oracle.numbers_of(PATH, [("v2", first)]) == {sent.write.number}


def test_a_node_may_show_a_picked_version_whose_first_writer_it_saw_replaced(judge: Judge) -> None:
    first, token = judge.write()
    content = judge.oracle.at(PATH).known()[first].content
    sent = judge.oracle.begin(PATH, content, token.covers, HERE)
    again = judge.oracle.done(sent, "e", node=HERE)
    assert again is not None
    last = judge.oracle.begin(PATH, judge.content(), again.covers, THERE)
    judge.oracle.done(last, "e", node=THERE)
    assert judge.read(first, node=HERE) == []
    assert judge.read(first, node=THERE) == ["stale read"]


@pytest.mark.parametrize("happened", [True, False])
def test_what_is_in_doubt_may_have_happened_or_not(judge: Judge, *, happened: bool) -> None:
    first, token = judge.write()
    sent = judge.begin(token)
    assert judge.read(sent.write.hash) == []
    assert judge.judge(sent.write.hash if happened else first) == []
    assert judge.judge(sent.write.hash if happened else first) == []


def test_a_doubt_does_not_excuse_that_both_are_gone(judge: Judge) -> None:
    _, token = judge.write()
    judge.begin(token)
    assert judge.judge() == ["lost write"]


def test_a_deletion_in_doubt_excuses_that_the_file_is_gone(judge: Judge) -> None:
    _, token = judge.write()
    judge.begin(token, deletes=True)
    assert judge.judge() == []


def test_a_doubt_that_somebody_has_seen_is_none(judge: Judge) -> None:
    first, token = judge.write()
    sent = judge.begin(token)
    last, _ = judge.write(Token("e", frozenset({sent.write.number})))
    assert judge.judge(last) == []
    assert judge.judge(last, first, in_conflict=True) == ["resurrection", "false conflict"]


def test_what_was_refused_never_was(judge: Judge) -> None:
    first, token = judge.write()
    sent = judge.begin(token)
    judge.oracle.refused(sent)
    assert judge.judge(first) == []
    assert judge.judge(sent.write.hash) == ["lost write", "wrong bytes"]


def test_a_node_that_acknowledged_a_write_shows_nothing_older(judge: Judge) -> None:
    first, token = judge.write()
    judge.write(token)
    assert judge.read(first, node=THERE) == []
    assert judge.read(first) == ["stale read"]


def test_a_node_that_acknowledged_a_file_has_it(judge: Judge) -> None:
    judge.write()
    assert judge.read(None, node=THERE) == []
    assert judge.read(None) == ["lost write"]


def test_a_read_that_began_before_a_write_may_show_what_was(judge: Judge) -> None:
    first, token = judge.write()
    look = judge.oracle.look(PATH, HERE)
    judge.write(token)
    judge.oracle.saw(look, first)
    assert judge.kinds == []


def told(folder: str, *blocks: tuple[str, str, dict[str, str]]) -> Hearer:
    hearer = Hearer(folder)
    for mark, kind, entry in blocks:
        data = json.dumps({"payload": {"entries": [entry]}})
        hearer.take(f"id: {mark}\nevent: {kind}\ndata: {data}".encode())
    return hearer


def created(mark: str, path: str, content_hash: str) -> tuple[str, str, dict[str, str]]:
    return mark, "entries_created", {"path": path, "entry_type": "file", "hash": content_hash}


def test_a_stream_that_was_told_all_missed_nothing() -> None:
    hearer = told(
        "", created("1-a", "/x", "h1"), ("2-a", "entries_deleted", {"path": "/y"}),
        created("3-a", "/x", "h2"),
    )  # fmt: skip
    assert hearer.missed({"/x": "h2"}, ["/x", "/y"]) == []
    assert hearer.wrong == []


def test_a_stream_that_was_not_told_of_a_change_missed_it() -> None:
    hearer = told("", created("1-a", "/x", "h1"))
    assert hearer.missed({"/x": "h1", "/z": "h3"}, ["/x", "/z"]) == ["/z is h3 and was never told"]
    assert hearer.missed({"/x": "h2"}, ["/x"]) == ["/x is h2, told was h1"]


def test_a_folder_that_is_told_of_has_taken_the_place_of_a_file() -> None:
    entry = {"path": "/x", "entry_type": "directory"}
    hearer = told("", created("1-a", "/x", "h1"), ("2-a", "entries_created", entry))
    assert hearer.missed({}, ["/x"]) == []


def test_a_stream_of_a_folder_hears_of_that_folder_only() -> None:
    hearer = told("/d", created("1-a", "/d/x", "h1"), created("2-a", "/dd/x", "h1"))
    assert len(hearer.wrong) == 1
    assert told("/d").missed({"/other": "h"}, ["/other"]) == []


def test_ids_that_go_back_and_resets_are_wrong() -> None:
    hearer = told("", created("2-a", "/x", "h1"), created("1-a", "/x", "h1"))
    hearer.take(b"id: 9-a\nevent: reset\ndata: {}")
    assert ["id 1-a" in line or "reset" in line for line in hearer.wrong] == [True, True]


def test_percentiles_are_those_of_what_was_added() -> None:
    latencies = Latencies()
    for number in range(1, 1001):
        latencies.add(number / 1000)
    assert latencies.percentile(0.5) == pytest.approx(0.5, rel=0.05)
    assert latencies.percentile(0.99) == pytest.approx(0.99, rel=0.05)
    again = Latencies.unpacked(json.loads(json.dumps(latencies.packed())))
    again.join(latencies)
    assert (again.count, again.most) == (2000, 1.0)


def test_a_slope_is_found_through_restarts_and_ignores_what_comes_before() -> None:
    def life(began: float, level: float) -> Life:
        made = Life(began)
        for at in range(int(began), int(began) + 600, 5):
            warm = 50 * math.exp(-(at - began) / 10)
            made.add(at, level + warm + at / 3600 * 7)
        return made

    found = slope([life(0, 80), life(600, 40), life(1200, 120)], since=300, warm_up=120)
    assert found is not None
    assert found.per_hour == pytest.approx(7, abs=0.05)
    assert found.seconds == pytest.approx(480, abs=10)  # of one life
    assert slope([Life(0)], since=0, warm_up=0) is None


def test_one_step_is_no_slope_and_two_are() -> None:
    def stairs(*steps: int) -> Life:
        made = Life(0)
        for at in range(0, 1800, 5):
            made.add(at, 100 + at % 3 / 10 + 15 * sum(at >= step for step in steps))
        return made

    one, two = (slope([stairs(*steps)], 900, 120) for steps in ((1500,), (1200, 1500)))
    assert one is not None
    assert two is not None
    assert abs(one.per_hour) < 10
    assert two.per_hour > 48


def test_many_samples_make_a_slope_soon() -> None:
    many = Life(0)
    for at in range(4000):
        many.add(at, at / 3600)
    found = slope([many], 0, 0)
    assert found is not None
    assert found.per_hour == pytest.approx(1)
    assert found.samples <= 500


def test_a_report_has_its_tables_and_its_violations() -> None:
    figures = {"start": 1.0, "end": 2.0, "max": 3.0, "per_hour": 4.5, "is_long": True}
    report = {
        "settings": {"seed": 7, "nodes": 3, "clients": 2},
        "machine": {
            "commit": "abc", "began": "2026-01-01 10:00", "cores": 2, "memory_gib": 8,
            "python": "3.11", "load_before": 0.5,
        },
        "seconds": 60.0, "load_seconds": 50.0, "held_back": 0, "acts": 3,
        "latencies": {"put": {"count": 100, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}},
        "streams": {"open": 1000, "opened": 1001, "events": 5},
        "counts": {"cuts": 2},
        "processes": [{"name": "node 0", "lives": 1, "memory": figures, "handles": figures}],
        "sizes": [], "machine_load": [1.0], "notes": [], "violation_count": 1,
        "violations": [{"kind": "lost write", "where": "/a", "what": "gone", "at_s": 3.0}],
    }  # fmt: skip
    assert "| put | 100 | 2.0 | 1.0 | 2.0 | 3.0 |" in as_markdown([report, report])
    assert "| node 0 | 1 | 1.0 | 2.0 | 3.0 | 4.5 | 1 | 2 | 3 | 4.5 |" in as_text(report)
    assert "VIOLATION lost write: /a, at 3.0 s: gone" in as_text(report)
