import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.runtime import log
from aeorsync.runtime.redact import DEPTH_MAX, MASK, TEXT_MAX, redact, redact_value

KEY = "aeor_k_0123456789abcdef_" + "0f" * 32
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwIn0.c2lnbmF0dXJl"


LogFormat = Literal["pretty", "json"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    structlog.reset_defaults()


def logged(log_format: LogFormat, event: str, **fields: object) -> str:
    stream = io.StringIO()
    log.set_up(log_format, stream)
    log.get_logger("aeorsync.test").info(event, **fields)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, as it was", "plain text, as it was"),
        (f"key {KEY} used", "key aeor_k_*** used"),
        ("aeor_k_short", "aeor_k_***"),
        ("aeor_r_" + "0f" * 32, "aeor_r_***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("bearer  x", "bearer  ***"),
        (f"GET /files?token={JWT}&limit=1", "GET /files?token=***&limit=1"),
        ("/files?a=1&token=abc", "/files?a=1&token=***"),
        (f"it was '{JWT}'.", "it was '***'."),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        ("grüße 文件", "grüße 文件"),
    ],
)
def test_what_a_text_is_shown_as(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(st.text())
def test_a_shown_text_is_always_one_printable_line(text: str) -> None:
    assert redact(text).isprintable()


@given(before=st.text(), after=st.text())
def test_no_surrounding_text_uncovers_a_key(before: str, after: str) -> None:
    assert "0f" * 32 not in redact(f"{before}{KEY}{after}")


def test_a_long_text_is_cut() -> None:
    assert len(redact("x" * 10 * TEXT_MAX)) < TEXT_MAX + 10


@pytest.mark.parametrize(
    "name",
    ["token", "api_key", "join_token", "signing_key", "authorization", "Authorization", "API-Key"],
)
@pytest.mark.parametrize(
    "value", ["hunter2", b"hunter2", 7, ["hunter2"], {"x": "hunter2"}], ids=repr
)
def test_a_field_with_a_secret_name_is_masked_whatever_it_holds(name: str, value: object) -> None:
    assert redact_value(name, value) == MASK
    assert redact_value("headers", {name: value}) == {name: MASK}
    assert redact_value("list", [{name: value}]) == [{name: MASK}]


def test_an_absent_secret_is_shown_as_absent() -> None:
    assert redact_value("token", None) is None
    assert redact_value("token", value=False) is False


def test_plain_values_keep_their_type() -> None:
    assert redact_value("n", 7) == 7
    assert redact_value("rate", 0.5) == 0.5
    assert redact_value("ok", value=True) is True


def test_objects_are_shown_without_their_secrets() -> None:
    assert KEY not in str(redact_value("error", ValueError(f"bad key {KEY}")))


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert str(redact_value("loop", loop)).count("[") <= DEPTH_MAX + 3


@pytest.mark.parametrize("log_format", ["pretty", "json"])
def test_no_secret_and_no_control_character_reaches_a_log(log_format: LogFormat) -> None:
    line = logged(
        log_format,
        f"event {KEY}\x1b[2J",
        path="a\nb\u202e",
        join_token="hunter2",
        headers={"authorization": f"Bearer {JWT}"},
    )
    assert line.count("\n") == 1
    assert line.strip("\n").isprintable()
    for secret in (KEY, JWT, "hunter2"):
        assert secret not in line


def test_json_has_the_time_the_level_the_logger_and_the_fields() -> None:
    entry = json.loads(logged("json", "cycle done", peer="http://a", fetched=3))
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "event": "cycle done",
        "fetched": 3,
        "level": "info",
        "logger": "aeorsync.test",
        "peer": "http://a",
    }


def test_colours_are_for_terminals_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        log.set_up("pretty", stream)
        log.get_logger("x").warning("hello")
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in file.getvalue()


def test_the_standard_librarys_loggers_come_out_the_same_way() -> None:
    stream, brought = io.StringIO(), io.StringIO()
    own = logging.getLogger("uvicorn.access")
    own.addHandler(logging.StreamHandler(brought))
    log.set_up("json", stream)
    own.warning("GET %s\n", "/files?token=hunter2")
    entry = json.loads(stream.getvalue())
    assert entry["event"] == r"GET /files?token=***\n"
    assert (entry["level"], entry["logger"]) == ("warning", "uvicorn.access")
    assert brought.getvalue() == ""


def test_requests_of_our_own_client_are_not_logged_one_by_one() -> None:
    stream = io.StringIO()
    log.set_up("json", stream)
    logging.getLogger("httpx").info("HTTP Request: GET http://a")
    assert stream.getvalue() == ""


def fail() -> None:
    raise ValueError(f"evil {KEY}\x1b[2J\n2026-01-01T00:00:00Z [info] forged")


@pytest.mark.parametrize("through", ["structlog", "logging"])
def test_a_traceback_is_kept_but_cannot_forge_a_line(through: str) -> None:
    stream = io.StringIO()
    log.set_up("pretty", stream)
    try:
        fail()
    except ValueError:
        if through == "structlog":
            log.get_logger("x").exception("failed")
        else:
            logging.getLogger("x").exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert "failed" in first
    assert any("Traceback" in line for line in rest)
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert KEY not in stream.getvalue()


def test_setting_up_twice_logs_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.set_up("json", first)
    log.set_up("json", second)
    log.get_logger("x").info("hello")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_the_level_holds_back_what_is_below() -> None:
    stream = io.StringIO()
    log.set_up("json", stream)
    log.get_logger("x").debug("hidden")
    logging.getLogger("x").debug("hidden")
    assert stream.getvalue() == ""
    log.set_up("json", stream, level=logging.DEBUG)
    log.get_logger("x").debug("shown")
    assert "shown" in stream.getvalue()


def test_whether_it_was_set_up_is_known() -> None:
    assert not log.is_set_up()
    log.set_up("json", io.StringIO())
    assert log.is_set_up()
