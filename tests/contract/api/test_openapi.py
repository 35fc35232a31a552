"""The OpenAPI document: a golden copy, so that every change of the contract is seen and meant.

After a meant change: `python -m tests.contract.api.test_openapi` writes the copy anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI

from control_plane.api.app import api_routes, build_api
from control_plane.hints.hub import Hub
from control_plane.services.deps import Deps
from penstock.api.errors import Problem

GOLDEN = Path(__file__).with_name("openapi.json")


def document() -> dict[str, Any]:
    """Describing the API touches none of its collaborators."""
    app: FastAPI = build_api(cast(Deps, None), Hub())
    described = app.openapi()
    described["info"]["version"] = "0"
    return described


def rendered() -> str:
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_contract_is_the_golden_one() -> None:
    assert rendered() == GOLDEN.read_text(encoding="utf-8")


def test_every_route_is_described() -> None:
    paths = document()["paths"]
    for route in api_routes():
        for method in route.methods or ():
            operation = paths[route.path_format][method.lower()]
            assert operation["operationId"] == route.operation_id
            assert operation["description"], route.path
            assert {"422", "429", "500", "503"} <= set(operation["responses"])


def test_every_error_has_the_one_shape() -> None:
    described = document()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    (media,) = answer["content"]
                    assert media == "application/problem+json", (path, method, status)
    assert set(described["components"]["schemas"]["Problem"]["properties"]) == set(
        Problem.model_fields
    )
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_specs_may_be_yaml() -> None:
    content = document()["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/yaml"}


if __name__ == "__main__":
    GOLDEN.write_text(rendered(), encoding="utf-8")
