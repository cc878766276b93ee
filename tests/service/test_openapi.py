"""The OpenAPI document, complete enough to program against."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from tests.service.serving import make_settings, serve

ROOT = Path(__file__).parents[2]
Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(make_settings(tmp_path_factory.mktemp("data"))).openapi()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def find_examples(content: dict[str, Any], schemas: dict[str, Any]) -> Iterator[Any]:
    if "example" in content:
        yield content["example"]
    for example in content.get("examples", {}).values():
        yield example["value"]
    schema = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    if "example" in schema:
        yield schema["example"]


def test_every_operation_has_a_clean_id_a_tag_and_a_description(
    operations: list[Operation],
) -> None:
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    for operation_id, (_, path, operation) in zip(ids, operations, strict=True):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation_id), operation_id
        assert operation["tags"], path
        assert operation["description"], path


def test_every_parameter_is_described(operations: list[Operation]) -> None:
    for _, path, operation in operations:
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, parameter["name"])


def test_every_json_reply_and_body_has_an_example(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    schemas = document["components"]["schemas"]
    for method, path, operation in operations:
        contents = [
            (status, media_type, content)
            for status, response in operation["responses"].items()
            for media_type, content in response.get("content", {}).items()
        ]
        contents += [
            ("body", media_type, content)
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        ]
        for where, media_type, content in contents:
            if media_type.startswith("application/") and "json" in media_type:
                assert list(find_examples(content, schemas)), (method, path, where, media_type)


def test_every_failure_is_a_problem(operations: list[Operation]) -> None:
    for method, path, operation in operations:
        for status, response in operation["responses"].items():
            if status >= "400" and not path.startswith("/v2"):
                assert list(response["content"]) == ["application/problem+json"], (method, path)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/([\w.-]+)", str(document)):
        assert name in schemas
    assert "HTTPValidationError" not in schemas


def test_the_committed_document_is_what_the_service_serves(tmp_path: Path) -> None:
    with serve(make_settings(tmp_path)) as client:
        served = client.get("/openapi.json").json()
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    changed = sorted(
        f"{kind}: {name}"
        for kind, old, new in [
            ("document", committed, served),
            ("path", committed["paths"], served["paths"]),
            ("schema", committed["components"]["schemas"], served["components"]["schemas"]),
        ]
        for name in old.keys() | new.keys()
        if old.get(name) != new.get(name)
    )
    if changed:
        pytest.fail(
            f"The API is not what docs/openapi.json says: {', '.join(changed)}. If that is meant, "
            "run `make openapi` and commit the file."
        )


def test_every_operation_is_in_the_documentation(operations: list[Operation]) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    for method, path, _ in operations:
        assert f"{method.upper()} {path}" in text.replace("`", ""), f"{method.upper()} {path}"
