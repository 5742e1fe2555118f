"""``docs/protocol.md`` says what the server does: no more and no less."""

import re
from pathlib import Path

import pytest

from aeorsync import errors
from aeorsync.api import problems
from aeorsync.api.app import ENDPOINTS
from aeorsync.api.endpoint import Endpoint
from aeorsync.api.problems import MethodError, RouteError
from aeorsync.api.router import Router
from aeorsync.errors import AeorError, StartupError

PAGE = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
HERE, _, NOT_HERE = PAGE.partition("\n## Left out\n")
PARTS = ["Purpose", "Request", "Reply", "Problems", "Example"]
ROUTE = re.compile(r"`(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^`\s]*)`")
ERRORS = sorted(
    {
        kind
        for module in (errors, problems)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, AeorError)
    },
    key=lambda kind: kind.__name__,
)
ROUTER = Router(ENDPOINTS)


def sections() -> dict[str, str]:
    """Return each heading that names routes, with the text below it."""
    parts = re.split(r"^##+ (.*)\n", HERE, flags=re.MULTILINE)
    texts = zip(parts[1::2], parts[2::2], strict=True)
    return {heading: text for heading, text in texts if ROUTE.search(heading)}


SECTIONS = sections()


def shown(endpoint: Endpoint) -> tuple[str, str]:
    """Return a row of the table as the page writes it."""
    return endpoint.method, endpoint.path.replace(":path}", "}")


def exists(method: str, path: str) -> bool:
    """Whether the server knows a path, as the page or an example writes it."""
    try:
        ROUTER.find(method, path.partition("?")[0].encode())
    except (RouteError, MethodError):
        return False
    return True


def test_every_endpoint_has_one_section_and_every_section_an_endpoint() -> None:
    headed = [route for heading in SECTIONS for route in ROUTE.findall(heading)]
    assert sorted(headed) == sorted(map(shown, ENDPOINTS))


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_endpoint_is_told_in_the_same_five_parts(heading: str) -> None:
    parts = re.findall(r"^- \*(\w+)(?:, \w+)?:\*", SECTIONS[heading], re.MULTILINE)
    assert list(dict.fromkeys(parts)) == PARTS
    assert re.search(r"^      \$ .*\bcurl ", SECTIONS[heading], re.MULTILINE)


def test_no_route_is_mentioned_that_does_not_exist() -> None:
    assert [route for route in ROUTE.findall(HERE) if not exists(*route)] == []


def test_no_example_calls_what_does_not_exist() -> None:
    called = re.findall(r"\$[AB](/[^\s\"|]*)", HERE)
    assert len(called) >= len({path for _, path in map(shown, ENDPOINTS)})
    methods = {endpoint.method for endpoint in ENDPOINTS}
    lost = [path for path in called if not any(exists(method, path) for method in methods)]
    assert lost == []


def test_what_is_said_to_be_missing_is_missing() -> None:
    promised = ROUTE.findall(NOT_HERE)
    assert promised
    assert [route for route in promised if exists(*route)] == []


def test_the_page_lists_every_error_code_with_its_status() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| *(\d*) *\|", HERE, re.MULTILINE)
    wire = {(kind.code, str(kind.status)) for kind in ERRORS if kind is not StartupError}
    assert sorted(rows) == sorted({*wire, (StartupError.code, "")})
