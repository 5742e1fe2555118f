"""Logging, set up once: one line an event on stderr, for people or as JSON.

    log = get_logger(__name__)
    log.info("cycle done", peer=peer, fetched=12)

The standard library's loggers (uvicorn's, above all) come out the same way. Every value passes
through ``runtime.redact``: no secret and no control character reaches a log.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

from aeorsync.runtime.redact import redact, redact_value

# It would load Rich's part for tracebacks in colours, which are not used here, and Pygments.
_hidden = [name for name in ("rich.traceback", "rich.pretty") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))  # type: ignore[arg-type]
import structlog  # noqa: E402
from structlog.typing import FilteringBoundLogger, Processor  # noqa: E402

for _name in _hidden:
    del sys.modules[_name]

HANDLER_NAME: Final = "aeorsync"

# They log every request they make, with its URL.
_CHATTY: Final = ("httpcore", "httpx", "uvicorn.error")
_BRING_HANDLERS: Final = ("uvicorn", "uvicorn.access", "uvicorn.error")


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger called ``name``; cheap, and may be called before ``set_up``."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def is_set_up() -> bool:
    """Whether ``set_up`` has been called in this process."""
    return structlog.is_configured()


def set_up(
    log_format: Literal["pretty", "json"],
    stream: TextIO | None = None,
    level: int = logging.INFO,
) -> None:
    """Send all logging of the process to ``stream``; a second call replaces the first.

    Args:
        log_format: ``pretty`` has colours iff ``stream`` is a terminal; ``json`` is one object a
            line, with ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``event`` and the fields.
        stream: Standard error if None.
        level: The least level that is logged, as in the standard library.
    """
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendered(log_format, colors=target.isatty()),
        ],
    )
    _route(formatter, target, level)


def _route(formatter: logging.Formatter, target: TextIO, level: int) -> None:
    handler = logging.StreamHandler(target)
    handler.set_name(HANDLER_NAME)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == HANDLER_NAME]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # A full disk behind stderr must not print a traceback for every line that could not be.
    logging.raiseExceptions = False
    for name in _BRING_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _rendered(log_format: Literal["pretty", "json"], *, colors: bool) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=colors,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_indented, console]


def _redacted(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Pass every field through ``redact``; a traceback keeps its lines."""
    for name, value in event.items():
        if name == "exception" and isinstance(value, str):
            event[name] = "\n".join(redact(line) for line in value.split("\n"))
        elif not name.startswith("_"):
            event[name] = redact_value(name, value)
    return event


def _indented(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Set a traceback in, so that no message inside it can pass for a line of the log."""
    if isinstance(event.get("exception"), str):
        event["exception"] = "    " + event["exception"].replace("\n", "\n    ")
    return event
