"""The route class of the whole API: who may call, which parameters there are, and the body,
in that order, before FastAPI sees the request.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from inspect import get_annotations, signature
from typing import Any, Final, cast

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.bodies import LOGS, NODES, PEOPLE, REPORTS, STRANGERS, Intake, read_document
from control_plane.api.deps import NODE, PLAIN, POLICIES, PUBLIC, joiner
from control_plane.api.gate import Gate
from control_plane.api.replies import not_modified
from control_plane.api.validation import parameter_error, unknown_parameters, validation_error
from control_plane.errors import NotFound
from control_plane.server.lanes import Lane, enter, laned
from penstock.api.assignments import BeginRequest, CheckpointCommit, LogRequest, ReportRequest
from penstock.api.states import Role
from penstock.catalogue.violation import violation
from penstock.documents.violations import MAX_VIOLATIONS

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route lets in. `needs` is a role, `node` or `public`."""

    needs: Role | str
    query_fields: tuple[Any, ...]
    repeatable: frozenset[str]
    body_model: type[BaseModel] | None
    joins: bool
    """Takes a join token, which may stand in the body instead."""

    @property
    def query(self) -> list[str]:
        return [field.alias for field in self.query_fields]


INTAKES: Final[Mapping[type[BaseModel], Intake]] = {LogRequest: LOGS, ReportRequest: REPORTS}
"""Bodies that are larger than others of the same callers."""
REPORTING: Final = frozenset({ReportRequest, LogRequest, CheckpointCommit})
"""What nodes send besides heartbeats."""


class Route(APIRoute):
    """A route with a policy; building one without fails. Functions run in its lane."""

    def __init__(self, path: str, endpoint: Callable[..., object], **more: Any) -> None:
        super().__init__(path, laned(endpoint), **more)

    direct: Handler | None = None
    """The same without what FastAPI builds around a call, where the endpoint needs none of it."""

    def get_route_handler(self) -> Handler:
        policy = policy_of(self)
        lane = _lane(self, policy)
        inner = _without_fastapi(self)
        if inner is not None:
            self.direct = _handler(policy, lane, inner)
        return _handler(policy, lane, super().get_route_handler())


def _handler(policy: Policy, lane: Lane, inner: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        enter(request.app.state.lanes, lane)
        owner = await _admit(request, policy)
        _check_parameters(request, policy)
        if policy.body_model is not None:
            intake = _intake(policy, policy.body_model, owner)
            request = await read_document(request, owner, intake, policy.body_model)
        try:
            response = await inner(request)
        except RequestValidationError as error:
            raise validation_error(error.errors(), policy.body_model, error.body) from error
        return not_modified(request, response)

    return handle


def _without_fastapi(route: Route) -> Handler | None:
    """Calls the endpoint with its body, its parameters, and what functions of the request alone
    give; None for one that asks for more, or gives back anything but a response.
    """
    own = route.dependant
    given: dict[Any, Any] = {one.name: one.call for one in own.dependencies}
    names = [one.name for one in own.body_params]
    fields = (*own.query_params, *own.header_params)
    known = {*given, *names, *(one.name for one in fields), own.request_param_name} - {None}
    others = (names[1:], known.symmetric_difference(signature(route.endpoint).parameters))
    returns = get_annotations(route.endpoint, eval_str=True).get("return")
    if any(others) or not PLAIN.issuperset(given.values()) or returns is not Response:
        return None
    asked = {name: call for name, call in given.items() if name is not None}

    async def call(request: Request) -> Response:
        values: dict[str, object] = {name: await ask(request) for name, ask in asked.items()}
        for fields, sent in (
            (own.query_params, request.query_params),
            (own.header_params, request.headers),
        ):
            if fields:
                found, wrong = request_params_to_args(fields, sent)
                if wrong:
                    raise RequestValidationError(wrong)
                values |= found
        for name in names:
            values[name] = await request.json()
        if own.request_param_name is not None:
            values[own.request_param_name] = request
        response: Response = await route.endpoint(**values)
        return response

    return call


def policy_of(route: APIRoute) -> Policy:
    """The policy that the route's dependencies and parameters say."""
    everything = list(_walk(route.dependant))
    needs = [POLICIES[one.call] for one in everything if one.call in POLICIES]
    if len(needs) != 1:
        raise TypeError(f"{route.path}: a route asks for exactly one caller, not {len(needs)}")
    query = {field.alias: field for one in everything for field in one.query_params}
    repeatable = {
        name for name, field in query.items() if "list[" in str(field.field_info.annotation)
    }
    fields = tuple(query.values())
    joins = any(one.call is joiner for one in everything)
    return Policy(needs[0], fields, frozenset(repeatable), _body_model(route), joins)


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)


def _body_model(route: APIRoute) -> type[BaseModel] | None:
    field = route.body_field
    return cast(type[BaseModel], field.field_info.annotation) if field is not None else None


def _lane(route: APIRoute, policy: Policy) -> Lane:
    if policy.joins:
        return Lane.WRITES
    if policy.needs == PUBLIC:
        return Lane.HEALTH
    if policy.needs == NODE:
        return Lane.REPORTS if policy.body_model in REPORTING else Lane.ASSIGNMENTS
    return Lane.READS if route.methods == {"GET"} else Lane.WRITES


async def _admit(request: Request, policy: Policy) -> str:
    """Who asks, in one word; empty while nobody said so."""
    gate: Gate = request.app.state.gate
    if policy.joins:
        request.state.join_token = await gate.join_token(request)
        return "join" if request.state.join_token else ""
    if policy.needs == PUBLIC:
        return ""
    if policy.needs == NODE:
        begins = policy.body_model is BeginRequest
        request.state.node_id = await gate.node(request, begins=begins)
        return str(request.state.node_id)
    request.state.caller = await gate.caller(request, Role(policy.needs))
    return str(request.state.caller.token_id)


def _intake(policy: Policy, model: type[BaseModel], owner: str) -> Intake:
    if not owner:
        return STRANGERS
    return INTAKES.get(model, NODES if policy.needs in (NODE, PUBLIC) else PEOPLE)


def _check_parameters(request: Request, policy: Policy) -> None:
    """Refuses unknown and doubled parameters, and what no database can look up."""
    if any("\0" in value for value in request.path_params.values()):
        raise NotFound("not_found", name=None)
    given = request.query_params.multi_items()
    if not given:
        return
    names = [name for name, _ in given]
    found = unknown_parameters(dict.fromkeys(names), policy.query)
    found += [
        violation(f"?{name}", "given_twice")
        for name in policy.query
        if names.count(name) > 1 and name not in policy.repeatable
    ]
    found += [
        violation(f"?{name[:80]}", "has_null") for name, value in given if "\0" in name + value
    ]
    if found:
        _, errors = request_params_to_args(policy.query_fields, request.query_params)
        raise parameter_error(found[:MAX_VIOLATIONS], errors)
