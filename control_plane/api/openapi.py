"""The OpenAPI document: FastAPI's own, with every answer that a route may really give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from control_plane.api.bodies import JSON_TYPE, YAML_TYPE
from control_plane.api.deps import NODE, PUBLIC
from control_plane.api.problems import KINDS, MEDIA_TYPE
from control_plane.api.route import Policy, policy_of
from penstock.api.errors import Problem, Violation
from penstock.json_types import Json

_TITLES: Final = {status: title for status, title, _ in KINDS.values()} | {500: "Internal error"}
_DESCRIPTION: Final = """\
One compute cloud out of a mixed fleet of AI chips.

Every error is `application/problem+json` with a stable `code` and all violations at once. Lists
take `limit` and the opaque `cursor` of the page before. GET answers carry an ETag. Bodies are
JSON, or YAML as `application/yaml`."""
_REQUEST_ID: Final = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "given by the caller, or new"}
}


def openapi_document(app: FastAPI, routes: Sequence[APIRoute]) -> Json:
    """Made once, then kept by the app."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
        )
        _add_components(document)
        for route in routes:
            policy = policy_of(route)
            for method in sorted(route.methods or ()):
                _complete(document["paths"][route.path_format][method.lower()], policy, method)
        app.openapi_schema = document
    return app.openapi_schema


def _add_components(document: Json) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (Problem, Violation):
        schemas[model.__name__] = _schema(model)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "an API token"},
        "join": {"type": "http", "scheme": "bearer", "description": "a single-use join token"},
        "node": {"type": "http", "scheme": "bearer", "description": "a node's own credential"},
    }


def _schema(model: type[BaseModel]) -> Json:
    schema = model.model_json_schema(
        ref_template="#/components/schemas/{model}", mode="serialization"
    )
    schema.pop("$defs", None)
    return schema


def _complete(operation: Json, policy: Policy, method: str) -> None:
    operation["security"] = _security(policy)
    if policy.needs not in (PUBLIC, NODE):
        operation["x-role"] = str(policy.needs)
    responses = operation["responses"]
    responses.pop("422", None)
    declared = {int(status) for status in responses if int(status) >= 400}
    for status in sorted(declared.union(_statuses(operation, policy, method))):
        responses[str(status)] = _problem(status)
    if method == "GET" and policy.needs not in (PUBLIC, NODE):
        responses["304"] = {"description": "what If-None-Match names is still so"}
    for answer in responses.values():
        answer.setdefault("headers", {}).update(_REQUEST_ID)
    body = operation.get("requestBody", {}).get("content", {})
    if JSON_TYPE in body:
        body[YAML_TYPE] = {"schema": body[JSON_TYPE]["schema"]}
    operation["responses"] = dict(sorted(responses.items()))


def _security(policy: Policy) -> list[dict[str, list[str]]]:
    if policy.joins:
        return [{"join": []}, {}]
    if policy.needs == PUBLIC:
        return []
    return [{"node" if policy.needs == NODE else "token": []}]


def _statuses(operation: Json, policy: Policy, method: str) -> Iterator[int]:
    yield from (422, 429, 500, 503)
    parameters = operation.get("parameters", ())
    names = {one["name"].lower() for one in parameters}
    if policy.needs != PUBLIC:
        yield from (401, 403)
    if any(one["in"] == "path" for one in parameters) or names & {"project", "job", "node"}:
        yield 404
    if policy.body_model is not None:
        yield from (400, 404, 408, 413, 415)
    if method != "GET" or policy.needs == NODE:
        yield 409
    if "if-match" in names:
        yield from (400, 412)


def _problem(status: int) -> Json:
    reference = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": _TITLES[status], "content": {MEDIA_TYPE: {"schema": reference}}}
