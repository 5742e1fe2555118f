"""GET /openapi.json and /system/health."""

import json
from pathlib import Path

import pytest

from aeorsync import __version__
from aeorsync.api.app import ENDPOINTS
from aeorsync.api.health import disk_use, judge
from tests.api.conftest import Browser


def test_the_document_lists_every_endpoint(call: Browser) -> None:
    reply = call("GET", "/openapi.json", token="")
    assert reply.status_code == 200
    document = reply.json()
    assert document["openapi"].startswith("3.1")
    listed = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    rows = {(row.method, row.path.replace(":path}", "}")) for row in ENDPOINTS}
    assert listed == rows


def test_every_reference_of_the_document_leads_somewhere(call: Browser) -> None:
    text = call("GET", "/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used
    assert used <= set(schemas)
    assert "Problem" in used


def test_every_operation_has_a_name_of_its_own_and_its_parameters(call: Browser) -> None:
    document = call("GET", "/openapi.json").json()
    operations = [
        (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(names) == len(set(names))
    for path, operation in operations:
        named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert "default" in operation["responses"]


def test_health_needs_no_token(call: Browser) -> None:
    reply = call("GET", "/system/health", token="")
    assert reply.status_code == 200
    assert reply.json()["version"] == __version__
    assert reply.json()["status"] in {"healthy", "degraded", "unhealthy"}
    assert call("HEAD", "/system/health", token="").content == b""


@pytest.mark.parametrize(
    ("used", "word"),
    [
        (0.0, "healthy"),
        (0.90, "healthy"),
        (0.901, "degraded"),
        (0.98, "degraded"),
        (0.981, "unhealthy"),
        (1.0, "unhealthy"),
    ],
)
def test_health_goes_by_the_space_that_is_left(used: float, word: str) -> None:
    assert judge(used) == word


def test_disk_use_is_a_share(tmp_path: Path) -> None:
    assert 0 <= disk_use(tmp_path) <= 1
    assert disk_use(None) == 0


def test_reading_and_looking_may_both_be_answered_with_not_modified(call: Browser) -> None:
    call("PUT", "/files/a", content=b"x")
    told = call("GET", "/openapi.json").json()["paths"]["/files/{path}"]
    for method in ("GET", "HEAD"):
        status = call(method, "/files/a", headers={"If-None-Match": "*"}).status_code
        assert str(status) == "304"
        assert "304" in told[method.lower()]["responses"]
