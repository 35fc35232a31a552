"""The route class of the whole API: who may call, which parameters there are, and the body,
in that order, before FastAPI sees the request.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.bodies import (
    MAX_AGENT_BODY_BYTES,
    MAX_BODY_BYTES,
    DocumentRequest,
    read_document,
)
from control_plane.api.deps import NODE, POLICIES, PUBLIC
from control_plane.api.gate import Gate
from control_plane.api.misread import misread_values
from control_plane.api.replies import not_modified
from control_plane.api.validation import parameter_error, unknown_parameters, validation_error
from control_plane.errors import NotFound
from penstock.api.errors import Violation
from penstock.api.states import Role

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route lets in. `needs` is a role, `node` or `public`."""

    needs: Role | str
    query_fields: tuple[Any, ...]
    repeatable: frozenset[str]
    body_model: type[BaseModel] | None

    @property
    def query(self) -> list[str]:
        return [field.alias for field in self.query_fields]

    @property
    def max_body_bytes(self) -> int:
        return MAX_AGENT_BODY_BYTES if self.needs == NODE else MAX_BODY_BYTES


class Route(APIRoute):
    """A route with a policy; building one without fails."""

    def get_route_handler(self) -> Handler:
        policy = policy_of(self)
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            await _admit(request, policy)
            _check_parameters(request, policy)
            if policy.body_model is not None:
                request = await _with_document(request, policy, policy.body_model)
            try:
                response = await inner(request)
            except RequestValidationError as error:
                raise _invalid(error, policy, request) from error
            return not_modified(request, response)

        return handle


def policy_of(route: APIRoute) -> Policy:
    """The policy that the route's dependencies and parameters say."""
    everything = list(_walk(route.dependant))
    needs = [POLICIES[one.call] for one in everything if one.call in POLICIES]
    if len(needs) != 1:
        raise TypeError(f"{route.path}: a route asks for exactly one caller, not {len(needs)}")
    query = {field.alias: field for one in everything for field in one.query_params}
    repeatable = {name for name, field in query.items() if _takes_many(field)}
    fields = tuple(query.values())
    return Policy(needs[0], fields, frozenset(repeatable), _body_model(route))


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)


def _takes_many(field: Any) -> bool:
    return "list[" in str(field.field_info.annotation)


def _body_model(route: APIRoute) -> type[BaseModel] | None:
    field = route.body_field
    return cast(type[BaseModel], field.field_info.annotation) if field is not None else None


async def _admit(request: Request, policy: Policy) -> None:
    if policy.needs == PUBLIC:
        return
    gate: Gate = request.app.state.gate
    if policy.needs == NODE:
        request.state.node_id = await gate.node(request)
    else:
        request.state.caller = await gate.caller(request, Role(policy.needs))


async def _with_document(
    request: Request, policy: Policy, model: type[BaseModel]
) -> DocumentRequest:
    request = await read_document(request, policy.max_body_bytes)
    document = await request.json()
    found = list(misread_values(model, document))
    if found:
        raise validation_error(
            [{**one, "loc": ("body", *one["loc"])} for one in [*found, *_errors(model, document)]],
            model, document, request.places,
        )  # fmt: skip
    return request


def _errors(model: type[BaseModel], document: Any) -> Sequence[Mapping[str, Any]]:
    try:
        model.model_validate(document)
    except ValidationError as error:
        return cast(Sequence[Mapping[str, Any]], error.errors(include_url=False))
    return ()


def _check_parameters(request: Request, policy: Policy) -> None:
    """Refuses unknown and doubled parameters, and what no database can look up."""
    if any("\0" in value for value in request.path_params.values()):
        raise NotFound("there is nothing of that name here")
    given = request.query_params.multi_items()
    if not given:
        return
    names = [name for name, _ in given]
    found = unknown_parameters(dict.fromkeys(names), policy.query)
    found += [
        Violation(pointer=f"?{name}", message="is given more than once")
        for name in policy.query
        if names.count(name) > 1 and name not in policy.repeatable
    ]
    found += [
        Violation(pointer=f"?{name[:80]}", message="has the character U+0000")
        for name, value in given
        if "\0" in name + value
    ]
    if found:
        _, errors = request_params_to_args(policy.query_fields, request.query_params)
        raise parameter_error(found, errors)


def _invalid(error: RequestValidationError, policy: Policy, request: Request) -> Exception:
    places = request.places if isinstance(request, DocumentRequest) else {}
    return validation_error(error.errors(), policy.body_model, error.body, places)
